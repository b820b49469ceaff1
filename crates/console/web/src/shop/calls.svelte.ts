// The calls of the API behind each click.
import { observe } from '../api/client'

export interface Call {
  id: number
  method: string
  path: string
  status: number
  milliseconds: number
  /** Bodies as text; empty for none. */
  sent: string
  received: string
  key: string
}

const SHOWN_MAX = 30

class Calls {
  list = $state.raw<Call[]>([])
  #count = 0

  constructor() {
    observe((request, response, milliseconds) => {
      // A read that its page aborts has no body to show.
      this.#add(request, response, milliseconds).catch(() => undefined)
    })
  }

  async #add(request: Request, response: Response, milliseconds: number): Promise<void> {
    const { pathname, search } = new URL(request.url)
    const sent = request.method === 'GET' ? '' : pretty(await request.text())
    const isRead = request.method === 'GET' || pathname.endsWith('/quote')
    // A page that reads the same again every two seconds would hide the rest.
    if (isRead && this.list.some((call) => call.path === pathname + search && call.sent === sent)) return
    const call = {
      id: (this.#count += 1),
      method: request.method,
      path: pathname + search,
      status: response.status,
      milliseconds: Math.round(milliseconds),
      sent,
      received: pretty(await response.text()),
      key: request.headers.get('Idempotency-Key') ?? '',
    }
    this.list = [call, ...this.list].slice(0, SHOWN_MAX)
  }

  clear(): void {
    this.list = []
  }
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

export const calls = new Calls()
