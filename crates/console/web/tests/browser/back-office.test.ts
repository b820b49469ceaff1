import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, launch, open, Server } from './harness'

const HANGUL = '가'.repeat(200)

let server: Server
let browser: Browser
let page: Page

beforeAll(async () => {
  server = await Server.start()
  browser = await launch()
  page = await open(browser, { token: server.adminToken })
  page.on('dialog', () => expect.unreachable('a script of a text was run'))
})

afterAll(async () => {
  await close(page)
  await browser.close()
  await server.stop()
})

const go = (path: string) => page.goto(`${server.url}/console/#${path}`)
const movements = (id: string) =>
  server.call<{ data: { quantity: number }[] }>('GET', `/v1/admin/products/${id}/stock-movements`)

test('a product is created, found, edited and hidden', async () => {
  await go('/products/new')
  await page.getByLabel('Name', { exact: true }).fill(HANGUL)
  await page.getByLabel('Price').fill('12,50')
  await page.getByLabel('Category').fill('test')
  await page.getByLabel('Description').fill('<script>alert(1)</script>\nsecond line')
  await page.getByRole('button', { name: 'Add option' }).click()
  await page.getByLabel('Option', { exact: true }).fill('color')
  await page.getByLabel('Value', { exact: true }).fill('red')
  await page.getByRole('button', { name: 'Create product' }).click()
  // The problem of the server is at its field, and nothing that was typed is lost.
  await page.getByText('Invalid', { exact: true }).waitFor()
  await page.getByLabel('Price').fill('1250')
  await page.getByRole('button', { name: 'Create product' }).click()
  await page.getByRole('heading', { name: HANGUL }).waitFor()

  await page.getByLabel('Price').fill('1300')
  await page.getByLabel('Status').selectOption('hidden')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()

  await go('/products')
  await page.getByLabel('Search').pressSequentially(HANGUL.slice(0, 20))
  const row = page.getByRole('row').filter({ hasText: '₩1,300' })
  await row.getByText('Hidden').waitFor()
  await row.getByText('red').waitFor()
  await expect.poll(() => page.url()).toContain('q=')
  // A filter is no other page: the field keeps the focus.
  expect(await page.getByLabel('Search').evaluate((field) => field === document.activeElement)).toBe(true)
  await page.getByLabel('Search').fill('no such product')
  await page.getByText('No products').waitFor()
})

test('stock is adjusted once by a double click, and by a retry after a lost response', async () => {
  const id = await server.product({ name: 'Adjusted' }, 5)
  await go(`/products/${id}`)
  const adjust = async (quantity: string) => {
    await page.getByRole('button', { name: 'Adjust stock' }).first().click()
    await page.getByLabel('Change').fill(quantity)
    await page.getByLabel('Reason').fill('counted')
  }
  await adjust('7')
  await page.getByText('5 becomes 12.').waitFor()
  await page.locator('dialog').getByRole('button', { name: 'Adjust stock' }).dblclick()
  await page.locator('dialog').waitFor({ state: 'detached' })

  // The server does its work, and its response is lost four times.
  const keys = new Set<string>()
  let lost = 0
  await page.route('**/stock-movements', async (route) => {
    if (route.request().method() !== 'POST') return route.continue()
    keys.add(route.request().headers()['idempotency-key'] ?? '')
    await route.fetch()
    lost += 1
    return route.abort()
  })
  await adjust('-2')
  await page.locator('dialog').getByRole('button', { name: 'Adjust stock' }).click()
  await page.getByText('The server cannot be reached.').waitFor({ timeout: 20_000 })
  await page.unroute('**/stock-movements')
  await page.locator('dialog').getByRole('button', { name: 'Try again' }).click()
  await page.locator('dialog').waitFor({ state: 'detached' })
  expect([lost, keys.size]).toEqual([4, 1])
  expect((await movements(id)).data.map(({ quantity }) => quantity)).toEqual([-2, 7, 5])
  await page.getByText('Adjustment').first().waitFor()
})

test('a call that takes long is sent once, and says that it is under way', async () => {
  const id = await server.product({ name: 'Slow' }, 1)
  await go(`/products/${id}`)
  let release = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))
  let calls = 0
  await page.route('**/stock-movements', async (route) => {
    if (route.request().method() !== 'POST') return route.continue()
    calls += 1
    await released
    return route.continue()
  })
  await page.getByRole('button', { name: 'Adjust stock' }).first().click()
  await page.getByLabel('Change').fill('4')
  await page.getByLabel('Reason').fill('delivery')
  await page.keyboard.press('Enter')
  await page.keyboard.press('Enter')
  expect(await page.getByRole('button', { name: 'Working …' }).isDisabled()).toBe(true)
  release()
  await page.locator('dialog').waitFor({ state: 'detached' })
  await page.unroute('**/stock-movements')
  expect(calls).toBe(1)
  await page.getByText('5 available').waitFor()
})

test('a refused change shows the reason of the server, in the language of the page', async () => {
  const id = await server.product({ name: 'Short' }, 1)
  await go(`/products/${id}`)
  await page.getByRole('button', { name: 'Adjust stock' }).first().click()
  await page.getByLabel('Change').fill('-2')
  await page.getByLabel('Reason').fill('broken')
  await page.locator('dialog').getByRole('button', { name: 'Adjust stock' }).click()
  await page.locator('dialog').getByRole('alert').waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: '한국어' }).click()
  await page.getByRole('button', { name: '재고 조정' }).first().click()
  await page.getByLabel('변경 수량').fill('-2')
  await page.getByLabel('사유').fill('파손')
  await page.locator('dialog').getByRole('button', { name: '재고 조정' }).click()
  expect(await page.locator('dialog').getByRole('alert').textContent()).toMatch(/재고/)
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: 'English' }).click()
})

test('what changes on the server is seen within two seconds', async () => {
  const id = await server.product({ name: 'Live' }, 3)
  await go(`/products/${id}`)
  await page.getByText('3 available').waitFor()
  await server.order('kim', id, 1, true)
  await page.getByText('2 available').waitFor({ timeout: 3_000 })
})

test('two editors of one product: the second sees the changes of the first', async () => {
  const id = await server.product({ name: 'Shared', price: '1000' }, 1)
  await go(`/products/${id}`)
  await page.getByLabel('Name', { exact: true }).fill('Shared, renamed')
  await server.call('PATCH', `/v1/admin/products/${id}`, { price: '2000' })
  const notice = page.getByRole('status').filter({ hasText: 'Another editor changed this product.' })
  await notice.getByText('Price: 2000').waitFor({ timeout: 5_000 })
  expect(await page.getByLabel('Price').inputValue()).toBe('2000')
  expect(await page.getByLabel('Name', { exact: true }).inputValue()).toBe('Shared, renamed')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
  const stored = await server.call('GET', `/v1/products/${id}`)
  expect(stored).toMatchObject({ name: 'Shared, renamed', price: '2000', version: 3 })
})

test('a change of an older version is rejected with the changes since, and then saved', async () => {
  const id = await server.product({ name: 'Versioned', price: '1000' }, 1)
  await go(`/products/${id}`)
  await page.getByText('Version 1').waitFor()
  // The page does not learn of the other change before it saves its own, but must before it learns of the rejection.
  const path = `**/v1/products/${id}`
  await page.route(path, (route) => route.abort())
  const change = `**/v1/admin/products/${id}`
  await page.route(change, async (route) => {
    const response = await route.fetch()
    await page.unroute(path)
    await route.fulfill({ response })
  })
  const saves: [string | undefined, number][] = []
  page.on('response', (response) => {
    const request = response.request()
    if (request.method() === 'PATCH') saves.push([request.headers()['if-match'], response.status()])
  })
  await page.getByLabel('Name', { exact: true }).fill('Versioned, mine')
  await server.call('PATCH', `/v1/admin/products/${id}`, { price: '2000' })
  const patched = page.waitForResponse((response) => response.request().method() === 'PATCH')
  await page.getByRole('button', { name: 'Save' }).click()
  expect((await patched).status()).toBe(412)
  const notice = page.getByRole('status').filter({ hasText: 'Another editor changed this product.' })
  await notice.getByText('Price: 2000').waitFor()
  expect(await page.getByLabel('Name', { exact: true }).inputValue()).toBe('Versioned, mine')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
  expect(saves).toEqual([
    ['"1"', 412],
    ['"2"', 200],
  ])
  await page.unroute(change)
  const stored = await server.call('GET', `/v1/products/${id}`)
  expect(stored).toMatchObject({ name: 'Versioned, mine', price: '2000', version: 3 })
})

test('a SKU is unique, and can be removed', async () => {
  await server.product({ name: 'Has the SKU', sku: 'MUG-1' }, 1)
  const id = await server.product({ name: 'Wants the SKU' }, 1)
  await go(`/products/${id}`)
  await page.getByLabel('SKU').fill('MUG-1')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('alert').getByText('SKU taken').waitFor()
  await page.getByLabel('SKU').fill('MUG-2')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
  await page.getByLabel('SKU').fill('')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Version 3').waitFor()
  expect(await server.call('GET', `/v1/products/${id}`)).not.toHaveProperty('sku')
})

test('an order is refunded by quantity with the amount before it', async () => {
  const id = await server.product({ name: 'Refunded', price: '3333' }, 9)
  const order = await server.order('lee', id, 3)
  await go(`/orders?user_id=lee&status=paid`)
  await page.getByRole('link', { name: 'Refunded' }).click()
  await page.getByRole('button', { name: 'Refund', exact: true }).click()
  await page.getByLabel('Refunded', { exact: true }).fill('2')
  await page.getByText('₩6,666 returns to the points of lee.').waitFor()
  await page.getByLabel('Reason').fill('damaged')
  await page.getByRole('button', { name: 'Refund ₩6,666' }).click()
  await page.locator('dialog').waitFor({ state: 'detached' })
  await page.getByText('Partially refunded').waitFor()
  expect(await server.call('GET', `/v1/orders/${order}`)).toMatchObject({ refunded_amount: '6666' })
})

test('an order is found by its id, and cancelled after a question', async () => {
  const id = await server.product({ name: 'Cancelled' }, 2)
  const order = await server.order('kim', id, 2, true)
  await go('/orders')
  await page.getByLabel('Order id').fill(` ${order.toUpperCase()} `)
  await page.getByRole('button', { name: 'Cancel order' }).click()
  await page.getByText('The stock that it reserves is available again.').waitFor()
  await page.locator('dialog').getByRole('button', { name: 'Cancel order' }).click()
  await page.locator('.badge', { hasText: 'Cancelled' }).waitFor()
  expect(await page.getByRole('button', { name: 'Cancel order' }).count()).toBe(0)
})

test('orders are found by product and time', async () => {
  const id = await server.product({ name: 'Searched' }, 2)
  await server.order('choi', id, 1)
  await go(`/products/${id}`)
  await page.getByRole('link', { name: 'Orders of this product' }).click()
  await expect.poll(() => page.getByRole('row').count()).toBe(2)
  await page.getByRole('link', { name: 'choi' }).waitFor()
  await page.getByLabel('To').fill('2020-01-01T00:00')
  await page.getByText('No orders').waitFor()
  await page.getByLabel('To').fill('')
  await page.getByLabel('From').fill('2020-01-01T00:00')
  await page.getByRole('link', { name: 'choi' }).waitFor()
  await page.getByLabel('Product id').fill('no-id')
  await page.getByRole('alert').waitFor()
})

test('products are filtered and sorted, and a hidden one is not sold', async () => {
  const names = ['Cheap', 'Dear', 'Gone']
  const ids: string[] = []
  for (const [index, name] of names.entries())
    ids.push(
      await server.product({ name, category: 'sorted', price: String(1000 * (index + 1)) }, index === 2 ? 1 : 20),
    )
  await server.order('choi', ids[2] ?? '', 1)
  await go('/products?category=sorted')
  const shown = () => page.locator('tbody .primary').allTextContents()
  await expect.poll(shown).toEqual(['Gone', 'Dear', 'Cheap'])
  await page.getByLabel('Order', { exact: true }).selectOption('Lowest price')
  await expect.poll(shown).toEqual(['Cheap', 'Dear', 'Gone'])
  await page.getByLabel('Stock').selectOption('In stock')
  await expect.poll(shown).toEqual(['Cheap', 'Dear'])
  await page.getByLabel('Stock').selectOption('Sold out')
  await expect.poll(shown).toEqual(['Gone'])
  await server.call('PATCH', `/v1/admin/products/${ids[0]}`, { status: 'hidden' })
  const { data } = await server.call<{ data: { name: string }[] }>('GET', '/v1/products?category=sorted&sort=name')
  expect(data.map(({ name }) => name)).toEqual(['Dear', 'Gone'])
})

test('a campaign is created with a preview, raised, renamed and closed', async () => {
  await go('/campaigns')
  await page.getByRole('button', { name: 'New campaign' }).click()
  await page.getByLabel('Name', { exact: true }).fill('Autumn')
  await page.getByLabel('Percent', { exact: true }).fill('15')
  await page.getByLabel('Maximum discount').fill('4000')
  await page.getByText('Of an order of ₩30,000, ₩4,000 is taken off; the customer pays ₩26,000.').waitFor()
  await page.getByRole('button', { name: 'Create campaign' }).click()
  await page.getByRole('link', { name: 'Autumn' }).click()
  await page.getByRole('button', { name: 'Change', exact: true }).click()
  await page.getByLabel('Name', { exact: true }).fill('Late autumn')
  await page.getByLabel('Coupons', { exact: true }).fill('150')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('heading', { name: 'Late autumn' }).waitFor()
  await page.getByText('0 of 150').waitFor()
  await page.getByRole('button', { name: 'Close' }).click()
  await page.getByText('A closed campaign cannot be reopened.').waitFor()
  await page.locator('dialog').getByRole('button', { name: 'Close' }).click()
  await page.locator('.badge', { hasText: 'Closed' }).waitFor()
})

test('a user has a balance, a ledger, orders and coupons, one of which is revoked', async () => {
  await server.call('POST', '/v1/users/park/points/top-ups', { amount: '50000' }, 'park')
  const campaign = await server.campaign({ name: 'Welcome back', quantity: 5 })
  await server.call('POST', `/v1/coupon-campaigns/${campaign}/coupons`, undefined, 'park')
  await go('/users')
  await page.getByLabel('User id').fill('park')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'park' }).waitFor()
  await page.getByRole('button', { name: 'Adjust points' }).click()
  await page.getByLabel('Amount').fill('-1500')
  await page.getByText('The balance becomes ₩48,500.').waitFor()
  await page.getByLabel('Reason').fill('correction')
  await page.locator('dialog').getByRole('button', { name: 'Adjust points' }).click()
  await page.locator('.figure', { hasText: '₩48,500' }).waitFor()
  await page.getByRole('row').filter({ hasText: '-₩1,500' }).getByText('₩48,500').waitFor()

  await page.getByRole('button', { name: 'Coupons', exact: true }).click()
  await page.getByRole('button', { name: 'Revoke' }).click()
  await page.locator('dialog').getByRole('button', { name: 'Revoke' }).click()
  await page.locator('.badge', { hasText: 'Revoked' }).waitFor()
  await page.getByRole('button', { name: 'Orders', exact: true }).click()
  await page.getByText('No orders').waitFor()
})

test('events are listed by state, and every change is in the audit log', async () => {
  await go('/events?status=delivered')
  await page.getByText('jangteo.order.paid.v1').first().waitFor()
  await page.getByRole('button', { name: 'Dead' }).click()
  await page.getByText('No dead letters').waitFor()
  await go('/audit-log')
  await page.getByText('revoke_coupon').waitFor()
  await page.getByLabel('Actor').fill('no-such-user')
  await page.getByText('No entries').waitFor()
  await page.getByLabel('Actor').fill('')
  const subject = page.locator('td a.mono').first()
  const id = (await subject.textContent())?.trim() ?? ''
  await page.getByLabel('Subject').fill(id)
  await expect.poll(async () => new Set(await page.locator('td .mono').allTextContents()).size).toBe(1)
})

test('a long list is shown by page', async () => {
  await Promise.all(
    Array.from({ length: 45 }, (_, index) => server.product({ name: `Many ${index}`, category: 'many' }, 1)),
  )
  await go('/products?category=many')
  await page.getByRole('button', { name: 'Show more' }).click()
  await expect.poll(() => page.getByRole('row').count()).toBe(41)
  await page.getByRole('button', { name: 'Show more' }).click()
  await expect.poll(() => page.getByRole('row').count()).toBe(46)
})
