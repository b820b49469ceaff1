// For everybody: screen readers, keyboards, small and large screens, both languages, both themes.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AxeResults } from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { close, launch, open, Server } from './harness'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

let server: Server
let browser: Browser
let paths: string[]

beforeAll(async () => {
  server = await Server.start({ SHOP_NAME: '남대문 시장 '.repeat(6).trim() })
  browser = await launch()
  const product = await server.product({ name: '누비 조끼 '.repeat(20), options: { color: 'red' } }, 3)
  const order = await server.order('kim', product, 2)
  paths = [
    '/',
    '/products',
    '/products/new',
    '/products/import',
    `/products/${product}`,
    '/orders',
    `/orders/${order}`,
    '/campaigns',
    '/campaigns/01900000-0000-7000-8000-000000000065',
    '/users',
    '/users/kim',
    '/events?status=delivered',
    '/books',
    '/audit-log',
  ].map((path) => `/console/#${path}`)
  paths.push('/shop/', '/shop/#/mine', `/shop/#/orders/${order}`)
})

afterAll(async () => {
  await browser.close()
  await server.stop()
})

async function violations(page: Page): Promise<string[]> {
  const { violations: found } = await page.evaluate<AxeResults>(
    'axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })',
  )
  return found.map(
    ({ id, nodes }) =>
      `${id}: ${nodes
        .map(({ html }) => html)
        .join(' ')
        .slice(0, 300)}`,
  )
}

/** The page has shown what it read. */
async function settle(page: Page): Promise<void> {
  await page.locator('h1').waitFor()
  await expect.poll(() => page.locator('.skeleton').count(), { timeout: 10_000 }).toBe(0)
}

describe.each([
  { theme: 'light', locale: 'en-US', width: 1440, height: 900 },
  { theme: 'dark', locale: 'ko-KR', width: 360, height: 740 },
  { theme: 'dark', locale: 'en-US', width: 3840, height: 2160 },
] as const)('$theme, $locale, $width px', ({ theme, locale, width, height }) => {
  test('no page has a violation or is wider than the screen', async () => {
    const viewport = { width, height }
    const page = await open(browser, {
      token: server.adminToken,
      theme,
      locale,
      viewport,
      bypassCSP: true,
      reducedMotion: 'reduce',
    })
    const shop = await open(browser, { theme, locale, viewport, bypassCSP: true, reducedMotion: 'reduce' })
    for (const path of paths) {
      const visited = path.startsWith('/shop') ? shop : page
      await visited.goto(`${server.url}${path}`)
      await settle(visited)
      await visited.evaluate(AXE)
      expect([path, await violations(visited)]).toEqual([path, []])
      const overflow = await visited.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      expect([path, overflow]).toEqual([path, 0])
      expect(await visited.evaluate(() => document.documentElement.lang)).toBe(locale.slice(0, 2))
    }
    await close(page)
    await close(shop)
  }, 180_000)

  test('the sign-in above a page has no violation and is within the screen', async () => {
    const page = await open(browser, {
      token: server.adminToken,
      theme,
      locale,
      viewport: { width, height },
      bypassCSP: true,
      reducedMotion: 'reduce',
    })
    await page.goto(`${server.url}/console/#/products`)
    await settle(page)
    await page.evaluate(AXE)
    await page.route('**/v1/**', (route) => route.fulfill({ status: 401, json: { title: 'Unauthorized' } }))
    const dialog = page.locator('dialog:modal')
    await dialog.waitFor()
    expect(await violations(page)).toEqual([])
    const { left, right } = await dialog.evaluate((element) => element.getBoundingClientRect())
    expect(left).toBeGreaterThan(0)
    expect(right).toBeLessThan(width)
    await close(page)
  })
})

test('dialogs have no violation and return the focus', async () => {
  const page = await open(browser, { token: server.adminToken, bypassCSP: true, reducedMotion: 'reduce' })
  await page.goto(`${server.url}/console/#/campaigns`)
  await settle(page)
  await page.evaluate(AXE)
  const opener = page.getByRole('button', { name: 'New campaign' })
  await opener.focus()
  await page.keyboard.press('Enter')
  await page.getByRole('dialog', { name: 'New campaign' }).waitFor()
  expect(await violations(page)).toEqual([])
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  expect(await opener.evaluate((button) => button === document.activeElement)).toBe(true)
  await close(page)
})

/** Moves the focus forward to the element with the text, or with the label. */
async function tabTo(page: Page, name: string | RegExp): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press('Tab')
    const text = await page.evaluate(() => {
      const focused = document.activeElement
      const label = focused?.id ? document.querySelector(`label[for="${CSS.escape(focused.id)}"]`) : null
      return (label ?? focused)?.textContent?.trim() ?? ''
    })
    if (typeof name === 'string' ? text === name : name.test(text)) return
  }
  expect.unreachable(`${name} cannot be reached`)
}

test('a product is created by keyboard alone', async () => {
  const page = await open(browser, { token: server.adminToken })
  await page.goto(`${server.url}/console/#/products`)
  await settle(page)
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await tabTo(page, 'New product')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'New product' }).waitFor()
  for (const [label, value] of [
    ['Name', 'By keyboard'],
    ['Price', '100'],
    ['Category', 'keys'],
  ] as const) {
    await tabTo(page, label)
    await page.keyboard.type(value)
  }
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'By keyboard' }).waitFor()
  await close(page)
})

test('a customer buys by keyboard alone', async () => {
  await server.product({ name: 'Bought by keyboard', price: '300' }, 1)
  const page = await open(browser)
  await page.goto(`${server.url}/shop/`)
  await page.getByRole('button', { name: /Bought by keyboard/ }).waitFor()
  await tabTo(page, '+ ₩10,000')
  await page.keyboard.press('Enter')
  await tabTo(page, /Bought by keyboard/)
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor()
  await tabTo(page, 'Order for ₩300')
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Pay ₩300' }).waitFor()
  await tabTo(page, 'Pay ₩300')
  await page.keyboard.press('Enter')
  await page.getByText('Thank you! The order is paid.').waitFor()
  await close(page)
})

test('nothing moves for readers who prefer that', async () => {
  for (const reducedMotion of ['reduce', 'no-preference'] as const) {
    const page = await open(browser, { token: server.adminToken, reducedMotion })
    await page.route('**/v1/admin/orders*', () => undefined)
    await page.goto(`${server.url}/console/#/orders`)
    await page.locator('.skeleton').first().waitFor()
    const moving = await page.evaluate(() => document.getAnimations().length)
    expect([reducedMotion, moving > 0]).toEqual([reducedMotion, reducedMotion === 'no-preference'])
    await close(page)
  }
})

test('a hidden page reads nothing', async () => {
  const page = await open(browser, { token: server.adminToken })
  await page.clock.install()
  await page.goto(`${server.url}/console/#/orders`)
  await settle(page)
  const show = (hidden: boolean) =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => value })
      document.dispatchEvent(new Event('visibilitychange'))
    }, hidden)
  await show(true)
  await page.waitForLoadState('networkidle')
  let reads = 0
  page.on('request', () => (reads += 1))
  await page.clock.runFor(60_000)
  expect(reads).toBe(0)
  await show(false)
  await expect.poll(() => reads).toBeGreaterThan(0)
  await close(page)
})
