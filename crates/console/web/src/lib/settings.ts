// The settings of the server that a page needs before its user signs in.
export interface OidcSettings {
  issuer: string
  client_id: string
  scopes: string
  audience?: string
}

export interface PageSettings {
  demo: boolean
  oidc?: OidcSettings
}

export async function pageSettings(): Promise<PageSettings> {
  const response = await fetch('/console/settings.json')
  if (!response.ok) throw new Error(`settings.json: ${response.status}`)
  return response.json() as Promise<PageSettings>
}

/** A token of the demo, for the code of its link or for a customer's name; `undefined` where it is rejected. */
export async function demoToken(by: { code: string } | { user_id: string }): Promise<string | undefined> {
  const response = await fetch(`/console/demo/${'code' in by ? 'code' : 'user'}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(by),
  })
  if (!response.ok) return undefined
  const { token } = (await response.json()) as { token: string }
  return token
}
