// Sign-in by OpenID Connect: authorization code with PKCE, as a public client.
import * as oauth from 'oauth4webapi'
import type { OidcSettings } from './settings'
import { tab } from './storage'

interface Pending {
  verifier: string
  state: string
  /** The fragment of the page to return to. */
  hash: string
}

const redirectUri = () => `${location.origin}/console/`

/** Plain http only for a provider on this machine, which the server's settings allow alone. */
const options = (issuer: URL) => ({ [oauth.allowInsecureRequests]: issuer.protocol === 'http:' })

async function discover(settings: OidcSettings): Promise<oauth.AuthorizationServer> {
  const issuer = new URL(settings.issuer)
  const response = await oauth.discoveryRequest(issuer, options(issuer))
  return oauth.processDiscoveryResponse(issuer, response)
}

/** The parameters of the resource: its RFC 8707 form, and the one that older providers know. */
function audienceOf({ audience }: OidcSettings): Record<string, string> {
  if (!audience) return {}
  return URL.canParse(audience) ? { audience, resource: audience } : { audience }
}

/** Leaves for the provider. */
export async function beginSignIn(settings: OidcSettings): Promise<void> {
  const server = await discover(settings)
  if (!server.authorization_endpoint) throw new Error('no authorization_endpoint')
  const pending: Pending = {
    verifier: oauth.generateRandomCodeVerifier(),
    state: oauth.generateRandomState(),
    hash: location.hash,
  }
  const address = new URL(server.authorization_endpoint)
  const parameters = {
    client_id: settings.client_id,
    redirect_uri: redirectUri(),
    response_type: 'code',
    scope: settings.scopes,
    state: pending.state,
    code_challenge: await oauth.calculatePKCECodeChallenge(pending.verifier),
    code_challenge_method: 'S256',
    ...audienceOf(settings),
  }
  for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value)
  tab.set('sign-in', JSON.stringify(pending))
  location.assign(address)
}

/** Whether the provider has just led back here. */
export function isReturn(): boolean {
  const parameters = new URLSearchParams(location.search)
  return parameters.has('state') && (parameters.has('code') || parameters.has('error'))
}

/** The token for the code in the address, which disappears from it; the page goes on where it was. */
export async function completeSignIn(settings: OidcSettings): Promise<string> {
  const returned = new URL(location.href)
  const stored = tab.get('sign-in')
  tab.set('sign-in', null)
  const pending = stored ? (JSON.parse(stored) as Pending) : undefined
  history.replaceState(null, '', `/console/${pending?.hash ?? ''}`)
  if (!pending) throw new Error('no sign-in was started in this tab')
  const server = await discover(settings)
  const client = { client_id: settings.client_id }
  const parameters = oauth.validateAuthResponse(server, client, returned, pending.state)
  const response = await oauth.authorizationCodeGrantRequest(
    server,
    client,
    oauth.None(),
    parameters,
    redirectUri(),
    pending.verifier,
    { ...options(new URL(settings.issuer)), additionalParameters: audienceOf(settings) },
  )
  const { access_token } = await oauth.processAuthorizationCodeResponse(server, client, response)
  return access_token
}
