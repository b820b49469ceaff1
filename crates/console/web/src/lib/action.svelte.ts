// A change on the server: one at a time, with an idempotency key that a retry of the same change uses again.
import { Problem } from '../api/problem'

/** Retries without the user's doing, after these pauses in milliseconds. */
const PAUSES = [400, 1_200, 3_000]
/** A longer `Retry-After`, in seconds, is left to the user. */
const RETRY_AFTER_MAX = 5

/** `randomUUID` is missing where a page is not served by https or from this machine. */
const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')

export class Action<Request = void> {
  isPending = $state(false)
  problem = $state.raw<Problem>()
  #send: (key: string, request: Request) => Promise<unknown>
  /** The key of the last change whose outcome is unknown. */
  #unknown: { change: string; key: string } | undefined

  constructor(send: (key: string, request: Request) => Promise<unknown>) {
    this.#send = send
  }

  /** Whether the change succeeded; where not, `problem` has the reason. A second call meanwhile does nothing. */
  async run(request: Request): Promise<boolean> {
    if (this.isPending) return false
    this.isPending = true
    this.problem = undefined
    const change = JSON.stringify(request) ?? ''
    if (this.#unknown?.change !== change) this.#unknown = { change, key: newKey() }
    try {
      await this.#retry(this.#unknown.key, request)
      this.#unknown = undefined
      return true
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      this.problem = error
      // A token that expired before the retry says nothing of the first attempt.
      if (!error.isUnknown && error.status !== 401) this.#unknown = undefined
      return false
    } finally {
      this.isPending = false
    }
  }

  async #retry(key: string, request: Request): Promise<void> {
    for (const pause of [...PAUSES, undefined]) {
      try {
        await this.#send(key, request)
        return
      } catch (error) {
        if (pause === undefined || !(error instanceof Problem) || !error.isUnknown) throw error
        const retryAfter = error.retryAfter ?? 0
        if (retryAfter > RETRY_AFTER_MAX) throw error
        await new Promise((resolve) => setTimeout(resolve, Math.max(pause, retryAfter * 1000)))
      }
    }
  }
}
