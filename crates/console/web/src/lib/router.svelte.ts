// The place within a page is the fragment of its address, as `#/orders?status=paid`: the server serves one file.

export interface Route {
  path: string
  query: Record<string, string>
}

function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#/, '').split('?')
  return { path: path || '/', query: Object.fromEntries(new URLSearchParams(query)) }
}

class Router {
  #route = $state.raw(parse(location.hash))

  constructor() {
    addEventListener('hashchange', () => this.refresh())
  }

  get path(): string {
    return this.#route.path
  }

  get query(): Record<string, string> {
    return this.#route.query
  }

  /** Reads the address again, after a change that raises no event. */
  refresh(): void {
    this.#route = parse(location.hash)
  }

  go(path: string, query: Record<string, string> = {}): void {
    location.hash = href(path, query)
  }

  /** Changes the filters of a list, which makes no entry in the browser's history. */
  filter(query: Record<string, string>): void {
    history.replaceState(null, '', href(this.path, query))
    this.refresh()
  }
}

export function href(path: string, query: Record<string, string> = {}): string {
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString()
  return `#${path}${text ? `?${text}` : ''}`
}

export const route = new Router()
