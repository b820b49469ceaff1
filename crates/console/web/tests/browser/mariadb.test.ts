// A purchase, its refund, and verifications of other servers on MariaDB; the other tests are on SQLite, as the pages know
// only the API.
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { close, launch, open, Server } from './harness'

const name = `console_${randomUUID().replaceAll('-', '')}`

let server: Server
let browser: Browser

/** Executes a statement on the server of TEST_MYSQL_URL, by MariaDB's client. */
async function execute(statement: string, database = ''): Promise<URL> {
  const address = process.env.TEST_MYSQL_URL
  if (!address) throw new Error('TEST_MYSQL_URL is not set: run tests/scripts/with-mariadb npm run test:browser')
  const url = new URL(address)
  const options = [
    `--host=${url.hostname}`,
    `--port=${url.port || '3306'}`,
    `--user=${decodeURIComponent(url.username)}`,
    '--protocol=tcp',
  ]
  const env = { ...process.env, MYSQL_PWD: decodeURIComponent(url.password) }
  await promisify(execFile)('mariadb', [...options, '--execute', statement, database].filter(Boolean), { env })
  return url
}

beforeAll(async () => {
  const url = await execute(`CREATE DATABASE ${name}`)
  url.pathname = `/${name}`
  server = await Server.start({ DATABASE_URL: url.href })
  browser = await launch()
})

afterAll(async () => {
  await browser.close()
  await server.stop()
  await execute(`DROP DATABASE ${name}`)
})

test('a customer buys, and the back office refunds', async () => {
  const shop = await open(browser)
  await shop.goto(`${server.url}/shop/`)
  await shop.getByRole('button', { name: '+ ₩50,000' }).click()
  await shop.locator('.figure', { hasText: '₩50,000' }).waitFor()
  await shop.getByRole('button', { name: /Hanji notebook/ }).click()
  await shop.getByRole('button', { name: 'Order for ₩12,000' }).click()
  await shop.getByRole('button', { name: 'Pay ₩12,000' }).click()
  await shop.getByText('Thank you! The order is paid.').waitFor()

  const office = await open(browser)
  await office.goto(server.link)
  await office.getByRole('link', { name: 'Orders', exact: true }).first().click()
  await office.getByRole('link', { name: /Hanji notebook/ }).click()
  await office.getByRole('button', { name: 'Refund', exact: true }).click()
  await office.getByLabel(/Hanji notebook/).fill('1')
  await office.getByLabel('Reason').fill('returned')
  await office.getByRole('button', { name: 'Refund ₩12,000' }).click()
  await office.locator('.badge', { hasText: 'Refunded' }).waitFor()

  // The customer's own window shows it without a reload.
  await shop.locator('.badge', { hasText: 'Refunded' }).waitFor()
  await shop.locator('.figure', { hasText: '₩50,000' }).waitFor()
  await close(office)
  await close(shop)
  expect(await server.call('GET', '/v1/users/kim/points')).toMatchObject({ balance: '50000' })
})

test('a verification that another server runs is followed, and one is interrupted when its server is gone', async () => {
  const page = await open(browser, { token: server.adminToken })
  await page.goto(`${server.url}/console/#/books`)
  await page.getByText('Not verified yet').waitFor()
  // The list does not show the run of the other server yet when this one is started.
  await page.route('**/v1/admin/verifications?*', (route) => route.abort())
  await page.route('**/v1/admin/verifications', (route) =>
    route.request().method() === 'GET' ? route.abort() : route.continue(),
  )
  const id = randomUUID().replaceAll('-', '')
  const run = `UNHEX('${id}'), 'running', 1, 'elsewhere:1', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), 2, 0, '[]'`
  const columns = 'id, status, running, server, started_at, heartbeat_at, step, violations, findings'
  await execute(`INSERT INTO verifications (${columns}) VALUES (${run})`, name)
  await page.getByRole('button', { name: 'Verify now' }).click()
  await page.getByText('Step 2 of 8: stock').waitFor()
  await page.unroute('**/v1/admin/verifications?*')
  await page.unroute('**/v1/admin/verifications')
  await page.getByText('elsewhere:1').waitFor()
  expect(await page.getByRole('button', { name: 'Verify now' }).isDisabled()).toBe(true)
  await execute(`UPDATE verifications SET step = 5`, name)
  await page.getByText('Step 5 of 8: sales').waitFor()
  // As of a server without a heartbeat for a minute.
  await execute('UPDATE verifications SET heartbeat_at = heartbeat_at - INTERVAL 1 MINUTE', name)
  await page.getByText('The server of this run stopped.').waitFor({ timeout: 40_000 })
  await close(page)
})

test('the findings of a verification lead to their rows', async () => {
  await execute("UPDATE point_accounts SET balance = balance + 1 WHERE user_id = 'kim'", name)
  const page = await open(browser, { token: server.adminToken })
  await page.goto(`${server.url}/console/#/books`)
  await page.getByRole('button', { name: 'Verify now' }).click()
  await page.getByText('The books disagree. Findings: 1').waitFor({ timeout: 20_000 })
  await page.getByRole('row').filter({ hasText: 'Disagrees' }).waitFor()
  const findings = page.getByRole('listitem').filter({ hasText: 'Account' })
  await findings.getByRole('link', { name: 'kim' }).click()
  await page.locator('.figure', { hasText: '₩50,001' }).waitFor()
  await close(page)
})
