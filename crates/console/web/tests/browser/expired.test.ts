// A token that expires while its user works.
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { close, launch, open, Server } from './harness'

let server: Server
let browser: Browser
let page: Page
let token: string
let product: string
let users = 0
let user: string

const tokenOf = (name: string, scope = 'admin') => server.run('token', '--user', name, '--scope', scope)

beforeAll(async () => {
  server = await Server.start()
  browser = await launch()
})

afterAll(async () => {
  await browser.close()
  await server.stop()
})

beforeEach(async () => {
  user = `clerk-${(users += 1)}`
  token = await tokenOf(user)
  page = await open(browser, { token })
  product = await server.product({ name: 'Edited', price: '1000' }, 5)
})

afterEach(() => close(page))

const go = (path: string) => page.goto(`${server.url}/console/#${path}`)
const signIn = () => page.getByRole('dialog', { name: 'Sign in to the back office' })
const shown = () => server.call<{ price: string; available: number }>('GET', `/v1/products/${product}`)

async function paste(value: string): Promise<void> {
  await signIn().getByLabel('Token').fill(value)
  await signIn().getByRole('button', { name: 'Sign in' }).click()
}

/** The token is revoked, and a read of the page has met that. */
async function expire(): Promise<void> {
  await server.revoke(token)
  await signIn().getByText('Your session has ended.').waitFor({ timeout: 15_000 })
}

test('the input of a form is unchanged, and is saved after the next sign-in', async () => {
  await go(`/products/${product}`)
  await page.getByLabel('Price').fill('2500')
  await expire()
  await paste(`Bearer ${await tokenOf(user)}`)
  await signIn().waitFor({ state: 'detached' })
  expect(await page.getByLabel('Price').inputValue()).toBe('2500')
  expect(await page.getByLabel('Price').evaluate((field) => field === document.activeElement)).toBe(true)
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
  expect(await shown()).toMatchObject({ price: '2500' })
})

test('a dialog is unchanged below the sign-in, which no key closes, and its figures are read at once', async () => {
  await page.clock.install()
  await go(`/products/${product}`)
  await page.getByRole('button', { name: 'Adjust stock' }).click()
  const adjust = page.getByRole('dialog', { name: 'Adjust stock' })
  await adjust.getByLabel('Change').fill('4')
  await adjust.getByLabel('Reason').fill('counted twice')
  await expire()
  expect(
    await signIn()
      .getByLabel('Token')
      .evaluate((field) => field === document.activeElement),
  ).toBe(true)
  // Each closes one more dialog where nothing prevents it.
  for (let presses = 0; presses < 4; presses += 1) await page.keyboard.press('Escape')
  expect(await page.locator('dialog:modal').count()).toBe(2)

  await page.waitForLoadState('networkidle')
  let reads = 0
  page.on('request', () => (reads += 1))
  await page.clock.runFor(60_000)
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')))
  expect(reads).toBe(0)

  await server.order('buyer', product, 2)
  await page.clock.pauseAt(Date.now() + 120_000)
  await paste(await tokenOf(user))
  // The clock of the page stands: these are the reads at the sign-in.
  await adjust.getByText('3 becomes 7.').waitFor()
  expect(await adjust.getByLabel('Reason').inputValue()).toBe('counted twice')
  expect(await adjust.getByLabel('Reason').evaluate((field) => field === document.activeElement)).toBe(true)
  await adjust.getByRole('button', { name: 'Adjust stock' }).click()
  await adjust.waitFor({ state: 'detached' })
  expect(await shown()).toMatchObject({ available: 7 })
})

test('a change that the server rejects for its token is sent again by one click', async () => {
  await go('/products/new')
  const name = `Created by ${user}`
  await page.getByLabel('Name', { exact: true }).fill(name)
  await page.getByLabel('Price').fill('700')
  await page.getByLabel('Category').fill('late')
  await server.revoke(token)
  const headers = { Authorization: `Bearer ${token}` }
  const status = async () => (await fetch(`${server.url}/v1/admin/products`, { headers })).status
  await expect.poll(status).toBe(401)
  // This page reads nothing: the change itself meets it.
  await page.getByRole('button', { name: 'Create product' }).click()
  await signIn().waitFor()
  await page.locator('form').getByRole('alert').getByText('Unauthorized').waitFor()
  await paste(await tokenOf(user))
  await page.getByRole('button', { name: 'Create product' }).click()
  await page.getByRole('heading', { name }).waitFor()
})

test('a change whose response was lost before the token expired has one effect', async () => {
  await go(`/products/${product}`)
  const keys: (string | undefined)[] = []
  await page.route('**/stock-movements', async (route) => {
    if (route.request().method() !== 'POST') return route.continue()
    keys.push(route.request().headers()['idempotency-key'])
    if (keys.length > 2) return route.continue()
    if (keys.length === 2) return route.fulfill({ status: 401, json: { title: 'Unauthorized' } })
    await route.fetch()
    return route.abort()
  })
  await page.getByRole('button', { name: 'Adjust stock' }).click()
  const adjust = page.getByRole('dialog', { name: 'Adjust stock' })
  await adjust.getByLabel('Change').fill('2')
  await adjust.getByLabel('Reason').fill('found')
  await adjust.getByRole('button', { name: 'Adjust stock' }).click()
  await signIn().waitFor()
  await paste(await tokenOf(user))
  await adjust.getByRole('button', { name: 'Adjust stock' }).click()
  await adjust.waitFor({ state: 'detached' })
  expect([keys.length, new Set(keys).size]).toEqual([3, 1])
  expect(await shown()).toMatchObject({ available: 7 })
})

test('a token that cannot be used leaves the sign-in and the input as they are', async () => {
  await go(`/products/${product}`)
  await page.getByLabel('Price').fill('2500')
  await expire()
  await paste('no token')
  await signIn().getByText('This is no token (JWT).').waitFor()
  await paste(await tokenOf('customer', ''))
  await signIn().getByText('The token of customer lacks the scope admin.').waitFor()
  // The revoked token again, which only the server can tell.
  await paste(token)
  await expect.poll(() => page.evaluate(() => sessionStorage.getItem('jangteo.token'))).toBe(null)
  await signIn().getByText('Your session has ended.').waitFor()
  await paste(await tokenOf(user))
  await signIn().waitFor({ state: 'detached' })
  expect(await page.getByLabel('Price').inputValue()).toBe('2500')
})

test('another user starts with a new page at the same place', async () => {
  await go(`/products/${product}`)
  await page.getByLabel('Price').fill('2500')
  await page.getByRole('button', { name: 'Adjust stock' }).click()
  await page.getByLabel('Reason').fill('not yours')
  await expire()
  await paste(server.adminToken)
  await signIn().waitFor({ state: 'detached' })
  await expect.poll(() => page.getByLabel('Price').inputValue()).toBe('1000')
  expect(await page.locator('dialog:modal').count()).toBe(0)
  await page.getByRole('button', { name: 'Adjust stock' }).click()
  expect(await page.getByLabel('Reason').inputValue()).toBe('')
})

test('signing out instead leaves nothing of the page', async () => {
  await go(`/products/${product}`)
  await page.getByLabel('Price').fill('2500')
  await expire()
  await signIn().getByRole('button', { name: 'Sign out' }).click()
  await page
    .getByRole('main')
    .getByLabel('Token')
    .fill(await tokenOf(user))
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect.poll(() => page.getByLabel('Price').inputValue()).toBe('1000')
})
