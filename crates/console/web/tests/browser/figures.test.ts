// Pages of what the shop did: the overview, an order's time line, events, and the verification of the books.
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { components } from '../../src/api/document'
import type { List, Order } from '../../src/api/types'
import { close, DataPlatform, launch, noonZone, open, Server } from './harness'

type Overview = components['schemas']['OverviewResponse']
type Statistics = components['schemas']['StatisticsResponse']

const WON = new Intl.NumberFormat('en', { style: 'currency', currency: 'KRW' })
const ZONE = noonZone()
/** The time within which payments are counted, in milliseconds. */
const COUNTED = 20_000

let platform: DataPlatform
let server: Server
let browser: Browser
let page: Page
let bowls: string
let order: string

beforeAll(async () => {
  platform = await DataPlatform.start(400)
  server = await Server.start({ DATA_PLATFORM_URL: platform.url, SHOP_TIME_ZONE: ZONE, SHOP_NAME: 'Namdaemun' })
  browser = await launch()
  bowls = await server.product({ name: '놋그릇 한 벌 / Brass bowls', price: '54000', category: 'kitchen' }, 12)
  order = await server.order('kim', bowls, 2)
  await server.order('lee', bowls, 1)
  page = await open(browser, { token: server.adminToken })
})

afterAll(async () => {
  await close(page)
  await browser.close()
  await server.stop()
  platform.stop()
})

const go = (path: string) => page.goto(`${server.url}/console/#${path}`)
const overview = () => server.call<Overview>('GET', '/v1/admin/overview')

test('the overview shows the day, in the time zone of the shop', async () => {
  await server.call('POST', '/v1/admin/products', { name: 'Without stock', category: 'test', price: '100' })
  await server.product({ name: 'Nearly without stock' }, 10)
  await server.order('park', bowls, 3, true)
  const campaign = await server.campaign({ name: '선착순 10명', quantity: 10 })
  for (let user = 0; user < 9; user += 1)
    await server.call('POST', `/v1/admin/coupon-campaigns/${campaign}/coupons`, { user_id: `user-${user}` })
  await server.refund(order, bowls, 1)
  const { open_orders, nearly_sold_out, sold_out } = await overview()
  expect([open_orders, sold_out]).toEqual([{ orders: 1, quantity: 3 }, 1])

  await go('/')
  const tile = (label: string) => page.locator('.tile', { hasText: label })
  await tile('Open orders').getByText('Reserved items: 3').waitFor()
  await tile('Nearly sold out').getByText(String(nearly_sold_out), { exact: true }).waitFor()
  await page.getByText('9 of 10').waitFor()
  await page.locator('header').getByText('Namdaemun').waitFor()
  await page.getByText(`Times in ${ZONE}`).waitFor()
  // Counted in the background, and shown without a reload.
  await tile('Revenue').getByText('₩162,000').waitFor({ timeout: COUNTED })
  await tile('Refunds').getByText('₩54,000').waitFor({ timeout: COUNTED })
  await tile('Orders').getByText('2', { exact: true }).first().waitFor()
  expect((await overview()).today).toEqual({ orders: 2, revenue: '162000', refunded: '54000' })
  await expect.poll(async () => (await overview()).events.dead, { timeout: COUNTED }).toBeGreaterThan(0)
  await tile('Undelivered events').getByText('Dead letters:').waitFor()

  await tile('Sold out').first().click()
  await page.getByRole('row').filter({ hasText: 'Without stock' }).first().waitFor()
  await expect.poll(() => page.getByRole('row').filter({ hasText: 'Brass' }).count()).toBe(0)
  await go('/')
  await tile('Nearly sold out').click()
  await page.getByRole('link', { name: 'Nearly without stock' }).waitFor()
  expect(await page.getByRole('link', { name: 'Without stock', exact: true }).count()).toBe(0)
  expect(await page.getByLabel('Stock', { exact: true }).inputValue()).toBe('few')
})

test('the charts are those of the statistics, by hour and by day', async () => {
  await go('/')
  const values = () => page.locator('figure td').allTextContents()
  const stored = async (days: number, by: 'hour' | 'day') => {
    const noon = new Date()
    noon.setUTCMinutes(0, 0, 0)
    const day = 86_400_000
    const range = { from: new Date(+noon - (days - 1) * day).toISOString(), to: new Date(+noon + 1).toISOString() }
    // A day in hours begins at midnight.
    if (by === 'hour') Object.assign(range, midnights(noon))
    return (await server.call<Statistics>('GET', `/v1/admin/statistics?${new URLSearchParams({ ...range, by })}`)).data
  }
  const revenue = (rows: Statistics['data']) => rows.map((row) => WON.format(BigInt(row.revenue)))
  const today = await stored(1, 'hour')
  expect(today.length).toBe(24)
  expect(today.reduce((sum, { orders }) => sum + orders, 0)).toBe(2)
  await expect.poll(values).toEqual(revenue(today))
  await page.getByText(/^Exact up to /).waitFor()
  for (const [name, days] of [
    ['7 days', 7],
    ['30 days', 30],
  ] as const) {
    await page.getByRole('button', { name }).click()
    const found = await stored(days, 'day')
    expect(found.length).toBe(days)
    await expect.poll(values).toEqual(revenue(found))
  }
  await page.getByRole('button', { name: 'Orders', exact: true }).click()
  await page.getByRole('heading', { name: 'Paid orders' }).waitFor()
  await expect.poll(async () => (await values()).at(-1)).toBe('2')
})

/** The bounds of the day of the shop. */
function midnights(instant: Date): { from: string; to: string } {
  const local = new Intl.DateTimeFormat('en', { hour: 'numeric', hourCycle: 'h23', timeZone: ZONE })
  const from = new Date(+instant - Number(local.format(instant)) * 3_600_000)
  return { from: from.toISOString(), to: new Date(+from + 86_400_000).toISOString() }
}

test('popular products are those of 1, 3, 7 and 30 days', async () => {
  const reads: (string | null)[] = []
  page.on('request', (request) => reads.push(new URL(request.url()).searchParams.get('days')))
  await go('/')
  for (const days of [1, 3, 7, 30]) {
    await page.getByRole('button', { name: `${days} d`, exact: true }).click()
    const row = page.getByRole('listitem').filter({ hasText: 'Brass bowls' })
    await row.getByText('2', { exact: true }).waitFor({ timeout: COUNTED })
  }
  await expect.poll(() => reads).toEqual(expect.arrayContaining(['1', '3', '7', '30']))
})

test('an unchanged overview is not sent again', async () => {
  const cached = await open(browser, { token: server.adminToken })
  const network = await cached.context().newCDPSession(cached)
  await network.send('Network.enable')
  const urls = new Map<string, string>()
  const unchanged: string[] = []
  network.on('Network.requestWillBeSent', ({ requestId, request }) => urls.set(requestId, request.url))
  network.on('Network.responseReceivedExtraInfo', ({ requestId, statusCode }) => {
    if (statusCode === 304) unchanged.push(urls.get(requestId) ?? '')
  })
  await cached.goto(`${server.url}/console/`)
  await expect.poll(() => unchanged, { timeout: 15_000 }).toContain(`${server.url}/v1/admin/overview`)
  await close(cached)
})

test('an order is one time line', async () => {
  const { refunded_amount } = await server.call<Order>('GET', `/v1/orders/${order}`)
  expect(refunded_amount).toBe('54000')
  await go(`/orders/${order}`)
  await page.getByText('Payment · -₩108,000 · balance ₩792,000').waitFor()
  await page.getByText('Order · quantity -2 · stock 10').waitFor()
  await page.getByText('₩54,000 · returned').waitFor()
  await page.getByText('Refund · quantity +1').waitFor()
  await page.getByText('Refund · +₩54,000 · balance ₩846,000').waitFor()
  await page.getByText('jangteo.order.paid.v1 · Dead · HTTP 400').waitFor({ timeout: COUNTED })
  const kinds = await page.locator('ol > li').evaluateAll((rows) => rows.map((row) => row.classList[0]))
  expect(kinds.slice(0, 2).sort()).toEqual(['placed', 'stock_movement'])
  expect(kinds.filter((kind) => kind === 'refunded').length).toBe(1)
})

test('dead letters are sent again, one and all', async () => {
  const dead = () => server.call<List<unknown>>('GET', '/v1/admin/events?status=dead')
  await server.order('kim', bowls, 1)
  // Three payments and a refund.
  await expect.poll(async () => (await dead()).data.length, { timeout: COUNTED }).toBe(4)
  await go('/events?status=dead')
  await page.getByText('HTTP 400').first().waitFor()
  platform.status = 202
  await page.getByRole('button', { name: 'Redeliver', exact: true }).first().click()
  await expect.poll(() => page.getByRole('button', { name: 'Redeliver', exact: true }).count()).toBe(3)

  // A call whose time is over says that it is not complete, and is continued.
  let calls = 0
  await page.route('**/v1/admin/events/redelivery*', async (route) => {
    const response = await route.fetch()
    calls += 1
    return route.fulfill({ json: { ...((await response.json()) as object), complete: calls > 1 } })
  })
  await page.getByRole('button', { name: 'Redeliver all' }).click()
  await page.locator('dialog').getByRole('button', { name: 'Redeliver all' }).click()
  await page.locator('dialog').waitFor({ state: 'detached' })
  await page.getByText('Events due again: 3').waitFor()
  await page.unroute('**/v1/admin/events/redelivery*')
  expect(calls).toBe(2)
  await page.getByText('No dead letters').waitFor()
  await page.getByRole('button', { name: 'Delivered' }).click()
  await expect.poll(() => page.getByRole('row').count(), { timeout: COUNTED }).toBe(5)
})

test('an event that cannot be delivered yet waits with its error', async () => {
  platform.status = 503
  await server.order('lee', bowls, 1)
  await go('/events')
  const row = page.getByRole('row').filter({ hasText: 'HTTP 503' })
  await row.first().getByText('Pending').waitFor({ timeout: COUNTED })
  platform.status = 202
  await page.getByText('Nothing waits for delivery').waitFor({ timeout: 2 * COUNTED })
})

test('the books are verified, and the overview shows it', async () => {
  await go('/books')
  await page.getByText('Not verified yet').waitFor()
  await page.getByRole('button', { name: 'Verify now' }).click()
  await page.getByText('The books agree.').waitFor({ timeout: COUNTED })
  await page.getByRole('row').filter({ hasText: 'Passed' }).waitFor()
  await go('/')
  await page.locator('.tile', { hasText: 'Last verification' }).getByText('Passed').waitFor()
})

test('a coupon is issued to a user, and a rejection has its reason', async () => {
  const campaign = await server.campaign({ name: 'By hand', quantity: 3 })
  await go(`/campaigns/${campaign}`)
  await page.getByText('No coupons').waitFor()
  for (const _ of ['issued', 'rejected']) {
    await page.getByRole('button', { name: 'Issue to a user' }).first().click()
    await page.getByLabel('User', { exact: true }).fill('park')
    await page.locator('dialog').getByRole('button', { name: 'Issue to a user' }).click()
    await page.getByRole('link', { name: 'park' }).waitFor()
  }
  await page.locator('dialog').getByText('The limit is one per user.').waitFor()
  await page.keyboard.press('Escape')
  await page.getByText('1 of 3').waitFor()
  await page.getByRole('button', { name: 'Used', exact: true }).click()
  await page.getByText('No coupons').waitFor()
  await page.getByRole('button', { name: 'Usable', exact: true }).click()
  await page.getByRole('button', { name: 'Revoke', exact: true }).click()
  await page.locator('dialog').getByRole('button', { name: 'Revoke' }).click()
  await page.getByText('No coupons').waitFor()
  await page.getByRole('button', { name: 'Revoked', exact: true }).click()
  await page.getByRole('link', { name: 'park' }).waitFor()
})
