import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Provider from 'oidc-provider'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, launch, open, Server } from './harness'

const AUDIENCE = 'urn:jangteo:shop'

let folder: string
let issuer: string
let provider: HttpServer
let server: Server
let browser: Browser

/** A free port: the client of the provider is registered with the address of the console, before that is started. */
async function freePort(): Promise<number> {
  const reserved = createServer().listen(0, '127.0.0.1')
  await once(reserved, 'listening')
  const { port } = reserved.address() as AddressInfo
  reserved.close()
  await once(reserved, 'close')
  return port
}

beforeAll(async () => {
  const port = await freePort()
  provider = createServer().listen(0, '127.0.0.1')
  await once(provider, 'listening')
  issuer = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const names = { kid: 'test', alg: 'RS256', use: 'sig' }
  const oidc = new Provider(issuer, {
    clients: [
      {
        client_id: 'console',
        token_endpoint_auth_method: 'none',
        application_type: 'native',
        redirect_uris: [`http://127.0.0.1:${port}/console/`],
        grant_types: ['authorization_code'],
      },
    ],
    clientBasedCORS: () => true,
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), ...names }] },
    scopes: ['openid', 'admin'],
    features: {
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: 'admin',
          audience: AUDIENCE,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  })
  provider.on('request', oidc.callback())

  folder = await mkdtemp(join(tmpdir(), 'jangteo-oidc-'))
  const keys = join(folder, 'keys.json')
  await writeFile(keys, JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), ...names }] }))
  server = await Server.start({
    BIND: `127.0.0.1:${port}`,
    JWT_ALGORITHM: 'RS256',
    JWT_JWKS: keys,
    JWT_ISSUER: issuer,
    JWT_AUDIENCE: AUDIENCE,
    CONSOLE_OIDC_ISSUER: issuer,
    CONSOLE_OIDC_CLIENT_ID: 'console',
    CONSOLE_OIDC_AUDIENCE: AUDIENCE,
  })
  browser = await launch()
})

afterAll(async () => {
  await browser.close()
  await server.stop()
  provider.close()
  await rm(folder, { recursive: true })
})

test('a user signs in at the provider with PKCE, and returns to the same page', async () => {
  const page = await open(browser)
  const requests: string[] = []
  page.on('request', (request) => requests.push(request.url()))
  await page.goto(`${server.url}/console/#/products`)
  await page.getByRole('button', { name: 'Sign in' }).click()
  // The provider's own pages of its development mode.
  await page.getByPlaceholder('Enter any login').fill('boss')
  await page.getByPlaceholder('and password').fill('any')
  await page.getByRole('button', { name: 'Sign-in' }).click()
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Products' }).waitFor()
  expect(page.url()).toBe(`${server.url}/console/#/products`)
  await page.getByText('boss', { exact: true }).waitFor()
  const asked = new URL(requests.find((url) => url.startsWith(`${issuer}/auth?`)) ?? '')
  expect(asked.searchParams.get('code_challenge_method')).toBe('S256')
  const token = await page.evaluate(() => sessionStorage.getItem('jangteo.token') ?? '')
  expect(requests.filter((url) => url.includes(token))).toEqual([])
  await close(page)
})

test('an answer that this tab did not ask for is refused', async () => {
  const page = await open(browser)
  await page.goto(`${server.url}/console/?code=stolen&state=made-up`)
  await page.getByText('Signing in failed').waitFor()
  expect(page.url()).toBe(`${server.url}/console/`)
  await close(page)
})

test('a provider that is gone is reported', async () => {
  const page = await open(browser)
  await page.route(`${issuer}/.well-known/**`, (route) => route.abort())
  await page.goto(`${server.url}/console/`)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('Signing in failed').waitFor()
  await close(page)
})
