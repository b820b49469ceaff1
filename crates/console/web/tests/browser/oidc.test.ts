import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Provider from 'oidc-provider'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, launch, open, Server } from './harness'

const AUDIENCE = 'urn:jangteo:shop'

let folder: string
let issuer: string
let provider: HttpServer
let server: Server
let browser: Browser
let product: string
/** Whether the provider's pages cut the link between their window and the page that opened it. */
let isolates = false

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
  const answer = oidc.callback()
  provider.on('request', (request, response) => {
    if (isolates) response.setHeader('Cross-Origin-Opener-Policy', 'same-origin')
    void answer(request, response)
  })

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
  const page = await open(browser)
  await page.goto(`${server.url}/console/#/products/new`)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await enter(page, 'boss')
  await page.getByLabel('Name', { exact: true }).fill('Edited')
  await page.getByLabel('Price').fill('1000')
  await page.getByLabel('Category').fill('test')
  await page.getByRole('button', { name: 'Create product' }).click()
  await page.getByRole('heading', { name: 'Edited' }).waitFor()
  product = new URL(page.url()).hash
  await close(page)
})

afterAll(async () => {
  await browser.close()
  await server.stop()
  provider.close()
  await rm(folder, { recursive: true })
})

/** Signs in on the provider's own pages of its development mode. */
async function enter(page: Page, user: string): Promise<void> {
  await page.getByPlaceholder('Enter any login').fill(user)
  await page.getByPlaceholder('and password').fill('any')
  await page.getByRole('button', { name: 'Sign-in' }).click()
  await page.getByRole('button', { name: 'Continue' }).click()
}

const tokenIn = (page: Page) => page.evaluate(() => sessionStorage.getItem('jangteo.token') ?? '')
const signIn = (page: Page) => page.getByRole('dialog', { name: 'Sign in to the back office' })

/** The form of a product with input, below the sign-in that an expired token asks for. The provider knows no user. */
async function expired(): Promise<{ page: Page; requests: string[] }> {
  const page = await open(browser)
  const requests: string[] = []
  page.context().on('request', (request) => requests.push(request.url()))
  await page.goto(`${server.url}/console/${product}`)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await enter(page, 'boss')
  await page.getByLabel('Price').fill('2500')
  await page.context().clearCookies()
  await server.revoke(await tokenIn(page))
  await signIn(page).waitFor({ timeout: 15_000 })
  return { page, requests }
}

/** The window that the click opens. */
async function beside(page: Page): Promise<Page> {
  const opened = page.waitForEvent('popup')
  await signIn(page).getByRole('button', { name: 'Sign in' }).click()
  const window = await opened
  window.setDefaultTimeout(10_000)
  return window
}

async function save(page: Page, price: string): Promise<void> {
  await signIn(page).waitFor({ state: 'detached' })
  expect(await page.getByLabel('Price').inputValue()).toBe(price)
  await page.getByLabel('Price').fill(String(Number(price) + 1))
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
  await page.getByLabel('Price').fill('1000')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
}

test('a user signs in at the provider with PKCE, and returns to the same page', async () => {
  const page = await open(browser)
  const requests: string[] = []
  page.on('request', (request) => requests.push(request.url()))
  await page.goto(`${server.url}/console/#/products`)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await enter(page, 'boss')
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

test.each([false, true])('the next sign-in is in a window of its own (isolated: %s)', async (isIsolated) => {
  isolates = isIsolated
  const { page, requests } = await expired()
  const window = await beside(page)
  await signIn(page).getByText('Sign in in the window that has opened.').waitFor()
  await enter(window, 'boss')
  await save(page, '2500')
  await expect.poll(() => window.isClosed()).toBe(true)
  const token = await tokenIn(page)
  expect(requests.filter((url) => url.includes(token))).toEqual([])
  expect(await page.evaluate(() => JSON.stringify([localStorage, location.href]))).not.toContain(token)
  // The first sign-in and this one, and no other page has exchanged a code.
  expect(requests.filter((url) => url === `${issuer}/token`).length).toBe(2)
  isolates = false
  await close(page)
})

test('another user of the provider starts with a new page', async () => {
  const { page } = await expired()
  await enter(await beside(page), 'chief')
  await page.getByText('chief', { exact: true }).waitFor()
  await expect.poll(() => page.getByLabel('Price').inputValue()).toBe('1000')
  await close(page)
})

test('a window that is closed, refused or answered by a stranger leaves the sign-in usable', async () => {
  const { page } = await expired()
  await (await beside(page)).close()
  const refused = await beside(page)
  await refused.getByRole('link', { name: 'Cancel' }).click()
  await signIn(page).getByText('Signing in failed').waitFor()
  await expect.poll(() => refused.isClosed()).toBe(true)

  const window = await beside(page)
  await window.getByPlaceholder('Enter any login').waitFor()
  const forged = await page.context().newPage()
  await forged.goto(`${server.url}/console/?code=stolen&state=window.made-up`)
  await forged.getByText('Go on in the window that asked for the sign-in.').waitFor()
  expect(forged.url()).toBe(`${server.url}/console/`)
  await forged.close()
  await enter(window, 'boss')
  await save(page, '2500')
  await close(page)
})

test('a provider that is gone while the page asks again is reported, and the window is closed', async () => {
  const { page } = await expired()
  await page.route(`${issuer}/.well-known/**`, (route) => route.abort())
  const window = await beside(page)
  await signIn(page).getByText('Signing in failed').waitFor()
  await expect.poll(() => window.isClosed()).toBe(true)
  await page.unroute(`${issuer}/.well-known/**`)
  await enter(await beside(page), 'boss')
  await save(page, '2500')
  await close(page)
})

test('a browser that opens no window is led to the provider and back', async () => {
  const { page } = await expired()
  await page.evaluate(() => (window.open = () => null))
  await signIn(page).getByRole('button', { name: 'Sign in' }).click()
  await enter(page, 'boss')
  await page.getByRole('heading', { name: 'Edited' }).waitFor()
  expect(page.url()).toBe(`${server.url}/console/${product}`)
  await close(page)
})
