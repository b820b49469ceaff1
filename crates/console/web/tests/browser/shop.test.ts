import type { Browser, Page } from 'playwright-core'
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

async function enter(user: string): Promise<Page> {
  const page = await open(browser)
  await page.goto(`${server.url}/`)
  await page.getByRole('button', { name: user, exact: true }).click()
  await page.getByText(`Points of ${user}`).waitFor()
  return page
}

test('the tour: top-up, coupon, order, quote, payment, my page', async () => {
  const page = await enter('kim')
  expect(page.url()).toBe(`${server.url}/shop/`)
  await page.getByRole('button', { name: '+ ₩100,000' }).click()
  await page.locator('.figure', { hasText: '₩100,000' }).waitFor()
  await page.getByRole('button', { name: 'Get coupon' }).first().click()
  await page.getByText('Yours').waitFor()

  await page.getByLabel('Search').fill('notebook')
  await page.getByRole('button', { name: /Hanji notebook/ }).click()
  await page.getByLabel('Quantity').fill('3')
  await page.locator('dialog').getByText('₩36,000', { exact: true }).first().waitFor()
  await page.getByText('To pay', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Order for ₩36,000' }).click()
  await page.getByText(/^(10:00|9:\d\d)$/).waitFor()
  const pay = page.getByRole('button', { name: /^Pay ₩/ })
  const amount = (await pay.textContent())?.replace('Pay ', '') ?? ''
  await pay.click()
  await page.getByText('Thank you! The order is paid.').waitFor()

  await page.getByRole('link', { name: 'My page' }).click()
  await page.getByRole('row').filter({ hasText: 'Hanji notebook' }).getByText('Paid').waitFor()
  await page
    .getByRole('row')
    .filter({ hasText: `-${amount}` })
    .waitFor()
  await page.getByRole('link', { name: 'Products' }).click()
  await page.getByText('3 sold').waitFor({ timeout: 12_000 })

  // Every write is in the list of calls, with its key and its bodies.
  const call = page.getByRole('complementary').locator('details', { hasText: '/payment' })
  await call.locator('summary').click()
  await call.getByText('Idempotency-Key:').waitFor()
  await call.getByText('"coupon_id": "best"').waitFor()
  await close(page)
})

test('of two windows that order the last item, one gets it and the other an apology', async () => {
  const id = await server.product({ name: 'The very last', price: '500' }, 1)
  const pages = [await enter('kim'), await enter('lee')]
  for (const page of pages) {
    await page.getByLabel('Search').fill('The very last')
    await page.getByRole('button', { name: /The very last/ }).click()
    await page.getByRole('button', { name: 'Order for ₩500' }).waitFor()
  }
  await Promise.all(pages.map((page) => page.getByRole('button', { name: 'Order for ₩500' }).click()))
  const outcomes = await Promise.all(
    pages.map((page) =>
      Promise.race([
        page
          .getByText('Sorry, another customer was faster.')
          .waitFor()
          .then(() => 'late'),
        page
          .getByRole('timer')
          .waitFor()
          .then(() => 'first'),
      ]),
    ),
  )
  expect(outcomes.sort()).toEqual(['first', 'late'])
  expect(await server.call('GET', `/v1/products/${id}`)).toMatchObject({ available: 0 })
  for (const page of pages) await close(page)
})

test('an order that is not paid in time expires before its customer, and its stock is back', async () => {
  const hasty = await Server.start({ ORDER_TTL: '5s' })
  const id = await hasty.product({ name: 'Not paid', price: '700' }, 2)
  const page = await open(browser)
  await page.goto(`${hasty.url}/shop/`)
  await page.getByLabel('Search').fill('Not paid')
  await page.getByRole('button', { name: /Not paid/ }).click()
  await page.getByRole('button', { name: 'Order for ₩700' }).click()
  await page.getByText(/^0:0[1-5]$/).waitFor()
  await page.getByText('The time to pay is over, and the stock was released.').waitFor({ timeout: 20_000 })
  expect(await page.getByRole('button', { name: /^Pay/ }).count()).toBe(0)
  await expect.poll(() => hasty.call('GET', `/v1/products/${id}`), { timeout: 10_000 }).toMatchObject({ available: 2 })
  await close(page)
  await hasty.stop()
})

test('an order is cancelled, and its stock is back', async () => {
  const id = await server.product({ name: 'Not wanted', price: '700' }, 1)
  const order = await server.order('park', id, 1, true)
  const page = await enter('park')
  await page.goto(`${server.url}/shop/#/orders/${order}`)
  await page.getByRole('button', { name: 'Cancel order' }).click()
  await page.locator('.badge', { hasText: 'Cancelled' }).waitFor()
  expect(await server.call('GET', `/v1/products/${id}`)).toMatchObject({ available: 1 })
  await close(page)
})

test('a token that expires is replaced, and an open dialog with its input stays', async () => {
  await server.product({ name: 'Considered', price: '1200' }, 9)
  const page = await enter('park')
  await page.getByLabel('Search').fill('Considered')
  await page.getByRole('button', { name: /Considered/ }).click()
  await page.getByLabel('Quantity').fill('3')
  const token = () => page.evaluate(() => sessionStorage.getItem('jangteo.token'))
  const before = (await token()) ?? ''
  await server.revoke(before)
  await expect.poll(async () => [null, before].includes(await token()), { timeout: 15_000 }).toBe(false)
  expect(await page.getByLabel('Quantity').inputValue()).toBe('3')
  await page.getByRole('button', { name: 'Order for ₩3,600' }).click()
  await page.getByRole('timer').waitFor()
  await close(page)
})
