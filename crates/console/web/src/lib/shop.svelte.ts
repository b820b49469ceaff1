// The shop's public settings, read once.
import { api, body } from '../api/client'
import { Problem } from '../api/problem'
import type { ShopSettings } from '../api/types'

class Shop {
  #settings = $state.raw<ShopSettings>()

  get name(): string {
    return this.#settings?.name ?? 'Jangteo'
  }

  get currency(): string {
    return this.#settings?.currency ?? 'KRW'
  }

  get zone(): string {
    return this.#settings?.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone
  }

  async read(): Promise<void> {
    try {
      this.#settings = await body(api.GET('/v1/shop'))
    } catch (problem) {
      // A page works without them, with the reader's own time zone.
      if (!(problem instanceof Problem)) throw problem
    }
  }
}

export const shop = new Shop()
