// The pictures of docs/console.md: `npm run pictures`, with libfaketime and a Korean font (fonts-noto-cjk). The shop has
// a month of trade, made through the API of a server whose clock is set.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { close, DataPlatform, launch, open, Server, type Visit } from '../browser/harness'

const DOCUMENT = fileURLToPath(new URL('../../../../../docs/console/', import.meta.url))
const LIBRARIES = ['x86_64-linux-gnu/', 'aarch64-linux-gnu/', ''].map(
  (folder) => `/usr/lib/${folder}faketime/libfaketimeMT.so.1`,
)
const [DAY, HOUR] = [86_400_000, 3_600_000]
/** The last evening, 21:40 in Seoul. */
const EVENING = Math.floor((Date.now() - 12 * HOUR - 40 * 60_000) / DAY) * DAY + 12 * HOUR + 40 * 60_000
const DAYS = 30
const USERS = ['kim', 'lee', 'park', 'choi', 'jung', 'kang', 'yoon', 'shin']
const PRODUCTS = [
  ['전주 막걸리 6병 / Makgeolli, 6 bottles', 'drink', '18000', 4000],
  ['안동 소주 / Andong soju', 'drink', '32000', 2500],
  ['담양 대나무 채반 / Bamboo tray', 'kitchen', '27000', 900],
  ['옹기 김치독 10L / Onggi jar 10 l', 'kitchen', '64000', 9],
  ['통영 나전 명함집 / Nacre card case', 'craft', '45000', 7],
  ['한산 모시 손수건 / Ramie handkerchief', 'clothing', '15000', 1200],
] as const

let folder: string
let clock: string
let platform: DataPlatform
let server: Server
let browser: Browser
let order: string
let campaign: string
let product: string

/** Sets the clock of the server. */
const set = (time: number) => writeFileSync(clock, `${Math.round((time - Date.now()) / 1000)}\n`)

/** Numbers from 0 to 1, the same in every run. */
function* numbers(): Generator<number, never> {
  for (let state = 20_261_130; ;) {
    state = (state * 48_271) % 0x7fffffff
    yield state / 0x7fffffff
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jangteo-pictures-'))
  clock = join(folder, 'clock')
  const library = LIBRARIES.find((path) => existsSync(path))
  if (!library) throw new Error('the pictures require libfaketime: tests/scripts/apt-install faketime')
  set(EVENING - DAYS * DAY)
  platform = await DataPlatform.start(202)
  server = await Server.start({
    DATA_PLATFORM_URL: platform.url,
    DATA_PLATFORM_SECRET: 'pictures-of-the-document',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    FAKETIME_NO_CACHE: '1',
    FAKETIME_TIMESTAMP_FILE: clock,
    LD_PRELOAD: library,
    RUST_LOG: 'off',
    SHOP_NAME: '남대문 Namdaemun',
    SHOP_TIME_ZONE: 'Asia/Seoul',
  })
  browser = await launch()
  await trade()
  // A token of this evening.
  await server.restart()
  await server.call('POST', '/v1/admin/verifications')
}, 600_000)

afterAll(async () => {
  await browser.close()
  await server.stop()
  platform.stop()
  await rm(folder, { recursive: true, force: true })
})

const events = async (status: string) =>
  (await server.call<{ data: unknown[] }>('GET', `/v1/admin/events?status=${status}`)).data

async function trade(): Promise<void> {
  const random = numbers()
  const next = () => random.next().value
  const ids: string[] = []
  for (const [name, category, price, stock] of PRODUCTS)
    ids.push(await server.product({ name, category, price, sku: `${category}-${ids.length + 1}`.toUpperCase() }, stock))
  product = ids[0] ?? ''
  const names = { name: '단골 감사 쿠폰 / For regulars', quantity: 60 }
  campaign = await server.campaign(names, EVENING - DAYS * DAY, EVENING + 7 * DAY)
  for (let index = 0; index < 56; index += 1) {
    const user_id = USERS[index] ?? `guest-${index}`
    await server.call('POST', `/v1/admin/coupon-campaigns/${campaign}/coupons`, { user_id })
  }
  for (let day = DAYS - 1; day >= 0; day -= 1) {
    // Few at night, more at noon and in the evening.
    for (let hour = 22; hour >= 0; hour -= day === 0 ? 1 : 3) {
      const local = 21 - hour
      const wanted =
        local < 6 ? next() * 0.7 : 1 + next() * 3 * Math.sin((local / 24) * Math.PI) * (day % 7 < 2 ? 1.6 : 1)
      set(EVENING - day * DAY - hour * HOUR - Math.round((1 + next()) * 15) * 60_000)
      for (let count = Math.floor(wanted); count > 0; count -= 1) {
        const user = `${USERS[Math.floor(next() * USERS.length)]}${Math.ceil(next() * 9)}`
        const bought = ids[Math.floor(next() ** 1.6 * 4) % 3] ?? product
        const made = await server.order(user, bought, 1 + Math.floor(next() * 3))
        if (next() < 0.06) await server.call('POST', `/v1/orders/${made}/cancellation`, {}, user)
      }
    }
  }
  set(EVENING - 12 * 60_000)
  await server.restart()
  order = await server.order('kim', ids[1] ?? '', 3)
  // All events are delivered, except one.
  const count = (status: string, found: number) =>
    vi.waitFor(async () => expect(await events(status)).toHaveLength(found), { timeout: 30_000, interval: 200 })
  await count('pending', 0)
  platform.status = 400
  await server.order('lee', ids[5] ?? '', 2)
  await count('dead', 1)
  platform.status = 202
  set(EVENING - 4 * 60_000)
  await server.restart()
  await server.refund(order, ids[1] ?? '', 1)
  for (const user of ['choi', 'jung', 'kang']) await server.order(user, ids[2] ?? '', 2, true)
  set(EVENING)
}

async function visit(visited: Visit = {}): Promise<Page> {
  const page = await open(browser, { viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...visited })
  await page.clock.install({ time: EVENING })
  return page
}

const office = (visited: Visit = {}) => visit({ token: server.adminToken, ...visited })

/** With fonts that look alike everywhere. */
async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(DOCUMENT, { recursive: true })
  await page.evaluate(() => document.documentElement.style.setProperty('--font', "'Noto Sans CJK KR'"))
  await expect.poll(() => page.locator('.skeleton').count()).toBe(0)
  await page.evaluate(() => document.fonts.ready)
  await page.screenshot({ path: `${DOCUMENT}${name}.png`, animations: 'disabled' })
}

test.each([
  ['overview-en', {}],
  ['overview-ko', { locale: 'ko-KR', theme: 'dark' }],
] as const)('%s', async (name, visited) => {
  const page = await office(visited)
  await page.goto(`${server.url}/console/`)
  await expect.poll(() => page.locator('figure td').filter({ hasNotText: /^₩0$/ }).count()).toBeGreaterThan(5)
  await page.locator('.tile .badge').waitFor()
  await picture(page, name)
  await close(page)
})

test('an order, products, a campaign and an import', async () => {
  const page = await office()
  await page.goto(`${server.url}/console/#/orders/${order}`)
  await page.locator('li.refunded').waitFor()
  await picture(page, 'order-en')
  await page.goto(`${server.url}/console/#/products/import`)
  const golden = fileURLToPath(new URL('../../../../../tests/golden/import/shopify.csv', import.meta.url))
  await page.locator('input[type=file]').setInputFiles(golden)
  await page.getByRole('button', { name: 'Dry run' }).click()
  await page.getByText('Nothing was written.').waitFor()
  await page.locator('.notice.good').scrollIntoViewIfNeeded()
  await picture(page, 'import-en')
  await close(page)

  const korean = await office({ locale: 'ko-KR', theme: 'dark' })
  await korean.goto(`${server.url}/console/#/products`)
  await korean.getByRole('row').nth(1).waitFor()
  await picture(korean, 'products-ko')
  await close(korean)

  const phone = await office({ locale: 'ko-KR', viewport: { width: 360, height: 740 } })
  await phone.goto(`${server.url}/console/#/campaigns/${campaign}`)
  await phone.getByRole('row').nth(1).waitFor()
  await picture(phone, 'campaign-phone-ko')
  await close(phone)
})

test.each(['en', 'ko'])('the demo shop, %s', async (language) => {
  const page = await visit({ locale: language === 'ko' ? 'ko-KR' : 'en-US' })
  await page.goto(`${server.url}/shop/`)
  await page.locator('.product').first().waitFor()
  await page.locator('.figure', { hasText: '₩' }).waitFor()
  await page.locator('.ranks li').first().waitFor()
  await picture(page, `shop-${language}`)
  await close(page)
})
