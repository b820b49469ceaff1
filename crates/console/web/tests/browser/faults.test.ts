// Servers, networks and tokens that fail while a page is open.
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { close, launch, open, Server } from './harness'

let server: Server
let browser: Browser
let page: Page

beforeAll(async () => {
  server = await Server.start()
  browser = await launch()
})

afterAll(async () => {
  await browser.close()
  await server.stop()
})

beforeEach(async () => {
  page = await open(browser, { token: server.adminToken })
})

afterEach(() => close(page))

const go = (path: string) => page.goto(`${server.url}/console/#${path}`)

async function adjust(quantity: string): Promise<void> {
  await page.getByRole('button', { name: 'Adjust stock' }).first().click()
  await page.getByLabel('Change').fill(quantity)
  await page.getByLabel('Reason').fill('counted')
  await page.locator('dialog').getByRole('button', { name: 'Adjust stock' }).click()
}

const movements = async (id: string) => {
  const path = `/v1/admin/products/${id}/stock-movements`
  const { data } = await server.call<{ data: { quantity: number }[] }>('GET', path)
  return data.map(({ quantity }) => quantity)
}

test('a server that is killed and starts again: the input is unchanged, and the page goes on', async () => {
  const id = await server.product({ name: 'Restarted' }, 3)
  await go(`/products/${id}`)
  await page.getByLabel('Price').fill('4000')
  await server.kill()
  await page.getByText('No connection').waitFor({ timeout: 10_000 })
  await page.getByRole('button', { name: 'Save' }).click()
  // After its retries.
  await page.locator('form').getByRole('alert').waitFor({ timeout: 20_000 })
  expect(await page.getByLabel('Price').inputValue()).toBe('4000')
  await server.restart()
  await page.locator('.badge', { hasText: 'Live' }).waitFor({ timeout: 30_000 })
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
  expect(await server.call('GET', `/v1/products/${id}`)).toMatchObject({ price: '4000', version: 2, available: 3 })
})

test('a change that the server postpones is repeated with its key, and has one effect', async () => {
  const id = await server.product({ name: 'Postponed' }, 5)
  await go(`/products/${id}`)
  const keys: (string | undefined)[] = []
  await page.route('**/stock-movements', (route) => {
    if (route.request().method() !== 'POST') return route.continue()
    keys.push(route.request().headers()['idempotency-key'])
    if (keys.length > 2) return route.continue()
    return route.fulfill({ status: 503, headers: { 'Retry-After': '1' }, json: { code: 'OVERLOADED', title: 'Busy' } })
  })
  await adjust('2')
  await page.locator('dialog').waitFor({ state: 'detached', timeout: 20_000 })
  expect([keys.length, new Set(keys).size]).toEqual([3, 1])
  expect(await movements(id)).toEqual([2, 5])
})

test('a read that takes ten seconds is sent once, and then shown', async () => {
  await page.clock.install()
  let release = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))
  let reads = 0
  await page.route('**/v1/admin/orders*', async (route) => {
    reads += 1
    await released
    return route.continue()
  })
  await go('/orders')
  await page.locator('.skeleton').first().waitFor()
  await page.clock.runFor(10_000)
  expect(reads).toBe(1)
  expect(await page.locator('.skeleton').count()).toBeGreaterThan(0)
  release()
  await page.getByText('No orders').waitFor()
})

test('a network that is gone is shown, and the page goes on when it is back', async () => {
  await go('/products')
  await page.getByRole('row').nth(1).waitFor()
  await page.context().setOffline(true)
  await page.getByText('No connection').waitFor()
  await page.context().setOffline(false)
  await page.locator('.badge', { hasText: 'Live' }).waitFor({ timeout: 15_000 })
  await expect.poll(() => page.getByRole('alert').count()).toBe(0)
})

test('a page whose file cannot be loaded offers a reload', async () => {
  await go('/products')
  await page.getByRole('row').nth(1).waitFor()
  await page.route('**/assets/AuditLog*', (route) => route.abort())
  await page.getByRole('link', { name: 'Audit log' }).click()
  await page.getByRole('button', { name: 'Reload' }).waitFor()
  await page.unroute('**/assets/AuditLog*')
  await page.getByRole('button', { name: 'Reload' }).click()
  await page.getByRole('heading', { name: 'Audit log' }).waitFor()
})

test('a revoked token asks for another, and leads back', async () => {
  const revoked = await open(browser, { token: await server.run('token', '--user', 'temp', '--scope', 'admin') })
  await revoked.goto(`${server.url}/console/#/orders?status=paid`)
  await revoked.getByText('No orders').waitFor()
  await server.run('token', 'revoke', '--user', 'temp')
  await revoked.getByText('Your session has ended.').waitFor({ timeout: 15_000 })
  await revoked.getByLabel('Token').fill(server.adminToken)
  await revoked.getByRole('button', { name: 'Sign in' }).click()
  await revoked.getByText('No orders').waitFor()
  expect(revoked.url()).toBe(`${server.url}/console/#/orders?status=paid`)
  expect(await revoked.getByLabel('Status').inputValue()).toBe('paid')
  await close(revoked)
})

test('a missing right is shown with its reason', async () => {
  await go('/audit-log')
  const forbidden = { code: 'FORBIDDEN', title: 'Forbidden', detail: 'The token lacks the scope `admin`.' }
  await page.route('**/v1/admin/audit-log*', (route) => route.fulfill({ status: 403, json: forbidden }))
  await page.getByRole('alert').getByText('The token lacks the scope').waitFor()
})
