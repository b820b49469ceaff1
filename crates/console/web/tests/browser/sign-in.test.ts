import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, launch, open, Server } from './harness'

let server: Server
let browser: Browser

beforeAll(async () => {
  server = await Server.start()
  browser = await launch()
})

afterAll(async () => {
  await browser.close()
  await server.stop()
})

test('the printed link signs in once, and leaves no code or token in the address', async () => {
  const page = await open(browser)
  await page.goto(server.link)
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  expect(page.url()).toBe(`${server.url}/console/`)
  await page.reload()
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  await close(page)

  const again = await open(browser)
  await again.goto(server.link)
  await again.getByText('The link has been used or has expired.').waitFor()
  await close(again)
})

test('a pasted token signs in, and signing out forgets it', async () => {
  const page = await open(browser)
  await page.goto(`${server.url}/console/#/audit-log`)
  await page.getByLabel('Token').fill('no token')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('This is no token (JWT).').waitFor()
  await page.getByLabel('Token').fill(`Bearer ${server.adminToken}`)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Audit log' }).waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Token').waitFor()
  expect(await page.evaluate(() => JSON.stringify([sessionStorage, localStorage]))).not.toContain(server.adminToken)
  await close(page)
})

test('a token without the scope is refused with its reason', async () => {
  const page = await open(browser, { token: await server.tokenOf('kim') })
  await page.goto(`${server.url}/console/`)
  await page.getByText('The token of kim lacks the scope admin.').waitFor()
  await page.getByRole('button', { name: 'Use another token' }).click()
  await page.getByLabel('Token').waitFor()
  await close(page)
})

test('an expired token leads back to where its user was', async () => {
  const page = await open(browser, { token: server.adminToken })
  await page.goto(`${server.url}/console/#/orders?status=paid`)
  await page.getByRole('heading', { name: 'Orders' }).waitFor()
  const challenge = {
    status: 401,
    contentType: 'application/problem+json',
    body: '{"code":"UNAUTHENTICATED","title":"Unauthorized"}',
  }
  await page.route('**/v1/admin/orders*', (route) => route.fulfill(challenge))
  await page.getByText('Your session has ended.').waitFor()
  await page.unroute('**/v1/admin/orders*')
  await page.getByLabel('Token').fill(server.adminToken)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'Orders' }).waitFor()
  expect(page.url()).toBe(`${server.url}/console/#/orders?status=paid`)
  await close(page)
})
