// Sign-in by OpenID Connect: authorization code with PKCE, as a public client. The page goes to the provider and returns,
// or stays and opens a window that does so.
import * as oauth from 'oauth4webapi'
import type { OidcSettings } from './settings'
import { tab } from './storage'

interface Pending {
  verifier: string
  state: string
}

/** In front of the state of a sign-in that another window waits for. */
const BESIDE = 'window.'

/** From the window that returns to the one that waits: the query of its address, with a code but no token. */
const openChannel = () => new BroadcastChannel('jangteo.sign-in')

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

/** The address of the provider that asks for a code. */
async function request(settings: OidcSettings, pending: Pending): Promise<URL> {
  const server = await discover(settings)
  if (!server.authorization_endpoint) throw new Error('no authorization_endpoint')
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
  return address
}

/** Leaves for the provider. */
export async function beginSignIn(settings: OidcSettings): Promise<void> {
  const pending = { verifier: oauth.generateRandomCodeVerifier(), state: oauth.generateRandomState() }
  const address = await request(settings, pending)
  tab.set('sign-in', JSON.stringify({ ...pending, hash: location.hash }))
  location.assign(address)
}

let waiting: BroadcastChannel | undefined

/**
 * The token of a sign-in in the window, which is empty. It waits until that window returns or another sign-in begins;
 * whether the window is closed cannot be known, as a provider may cut the link to it.
 */
export async function signInIn(beside: Window, settings: OidcSettings): Promise<string> {
  waiting?.close()
  const channel = (waiting = openChannel())
  const pending = { verifier: oauth.generateRandomCodeVerifier(), state: BESIDE + oauth.generateRandomState() }
  const returned = new Promise<URLSearchParams>((resolve) => {
    channel.onmessage = ({ data }) => {
      const parameters = new URLSearchParams(String(data))
      if (parameters.get('state') !== pending.state) return
      channel.postMessage(pending.state)
      resolve(parameters)
    }
  })
  const address = await request(settings, pending)
  if (waiting === channel) {
    // The provider must not navigate this page.
    beside.opener = null
    beside.location.replace(address)
  }
  return exchange(settings, await returned, pending)
}

/** Hands what the provider returned to the window that waits for it; `false` where none does. This one then closes. */
export function handBack(): boolean {
  const { search } = location
  const state = new URLSearchParams(search).get('state')
  if (!state?.startsWith(BESIDE)) return false
  history.replaceState(null, '', '/console/')
  const channel = openChannel()
  channel.onmessage = ({ data }) => data === state && close()
  channel.postMessage(search)
  return true
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
  const pending = stored ? (JSON.parse(stored) as Pending & { hash: string }) : undefined
  history.replaceState(null, '', `/console/${pending?.hash ?? ''}`)
  if (!pending) throw new Error('no sign-in was started in this tab')
  return exchange(settings, returned.searchParams, pending)
}

/** The token for the code, once the answer is found to be that of the sign-in. */
async function exchange(settings: OidcSettings, returned: URLSearchParams, pending: Pending): Promise<string> {
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
