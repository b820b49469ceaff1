// The caller: a token in the storage of this tab, never in an address or a log.
import { tab } from './storage'

interface Claims {
  sub: string
  exp: number
  scope: string
}

/** The claims of a token, for display; the server alone verifies them. */
export function claimsOf(token: string): Claims | undefined {
  try {
    const payload = token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/')
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0))
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (typeof claims !== 'object' || claims === null || !('sub' in claims) || !('exp' in claims)) return undefined
    const scope = 'scope' in claims ? String(claims.scope) : ''
    return { sub: String(claims.sub), exp: Number(claims.exp), scope }
  } catch {
    return undefined
  }
}

export const isAdmin = (claims: Claims) => claims.scope.split(' ').includes('admin')

class Session {
  token = $state(tab.get('token') ?? '')
  /** Whether the server rejected the last token: its user remains, and so does the page, until the next sign-in. */
  hasExpired = $state(false)
  #claims = $state.raw(claimsOf(this.token))

  get user(): string {
    return this.#claims?.sub ?? ''
  }

  get isAdmin(): boolean {
    return this.#claims !== undefined && isAdmin(this.#claims)
  }

  start(token: string): void {
    this.token = token
    this.#claims = claimsOf(token)
    this.hasExpired = false
    tab.set('token', token)
  }

  end(): void {
    this.token = ''
    this.#claims = undefined
    this.hasExpired = false
    tab.set('token', null)
  }

  /** Drops a token that the server rejects; a newer one goes on. */
  expire(token: string): void {
    if (token !== this.token) return
    this.token = ''
    this.hasExpired = true
    tab.set('token', null)
  }
}

export const session = new Session()
