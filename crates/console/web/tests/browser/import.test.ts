import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type * as Import from '../../src/import'
import type { List, Product } from '../../src/api/types'
import { close, launch, open, Server } from './harness'

// `jangteo import products` passes the same files.
const GOLDEN = new URL('../../../../../tests/golden/import/', import.meta.url)
const names = readdirSync(GOLDEN).filter((name) => name.endsWith('.csv'))

let server: Server
let browser: Browser
let page: Page

beforeAll(async () => {
  server = await Server.start()
  browser = await launch()
  page = await open(browser, { token: server.adminToken, bypassCSP: true })
  await page.goto(`${server.url}/console/#/products/import`)
  const entry = fileURLToPath(new URL('../../src/import/index.ts', import.meta.url))
  const lib = { entry, formats: ['iife' as const], name: 'importer' }
  const outputs = await build({ configFile: false, logLevel: 'error', build: { lib, write: false } })
  const [output] = Array.isArray(outputs) ? outputs : []
  await page.addScriptTag({ content: `${output?.output[0].code ?? ''};globalThis.importer = importer` })
})

afterAll(async () => {
  await close(page)
  await browser.close()
  await server.stop()
})

// In the browser, which alone decodes CP949.
test.each(names)('%s has the products of its golden file', async (name) => {
  const found = await page.evaluate(
    async (file) => {
      const { readTable, formatOf, guess, productsOf } = (globalThis as unknown as { importer: typeof Import }).importer
      const table = readTable(Uint8Array.from(atob(file), (character) => character.charCodeAt(0)))
      const format = formatOf(table.headers)
      const columns = guess(table.headers, format)
      const named = table.headers.map((header, index) => [header, columns[index]])
      return { encoding: table.encoding, format, columns: named, ...(await productsOf(table, format, columns)) }
    },
    readFileSync(new URL(name, GOLDEN)).toString('base64'),
  )
  expect(found).toEqual(JSON.parse(readFileSync(new URL(name.replace('.csv', '.json'), GOLDEN), 'utf8')))
})

const go = () => page.goto(`${server.url}/console/#/products/import`)
const choose = (name: string, content: string | Buffer) =>
  page.locator('input[type=file]').setInputFiles({ name, mimeType: 'text/csv', buffer: Buffer.from(content) })
const products = async (query: Record<string, string>) =>
  (await server.call<List<Product>>('GET', `/v1/admin/products?${new URLSearchParams(query)}`)).data

async function run(): Promise<void> {
  await page.getByRole('button', { name: 'Dry run' }).click()
  await page.getByText('Nothing was written.').waitFor({ timeout: 60_000 })
  await page.getByRole('button', { name: 'Start import' }).click()
  await page.getByText('The import is complete.').waitFor({ timeout: 120_000 })
}

test('a file is checked, imported, and a second time unchanged', async () => {
  await go()
  const rows = Array.from(
    { length: 250 },
    (_, index) =>
      `S-${index},${index === 7 ? '가'.repeat(201) : `Lamp ${index}`},"${index === 3 ? '1,5' : '100'}",lamps,5`,
  )
  const file = ['sku,title,price,category,stock', ...rows].join('\n')
  await choose('lamps.csv', file)
  await page.getByText('Products: 249, errors: 1').waitFor()
  await page.getByText('Line 5, price: a comma in a number').waitFor()
  expect(await page.getByRole('button', { name: 'Start import' }).isDisabled()).toBe(true)

  await page.getByRole('button', { name: 'Dry run' }).click()
  await page.getByText('Nothing was written.').waitFor()
  await page.getByText('248 created, 0 changed, 0 unchanged, 1 rejected').waitFor()
  const rejected = page.getByRole('listitem').filter({ hasText: 'Line 9, S-7:' })
  await rejected.filter({ hasText: '/name Too long' }).waitFor()
  expect(await products({ category: 'lamps' })).toEqual([])

  await page.getByRole('button', { name: 'Start import' }).click()
  await page.getByText('The import is complete.').waitFor()
  await page.getByText('248 created, 0 changed, 0 unchanged, 1 rejected').waitFor()
  // A customer buys one, and a second run does not undo the sale.
  const [sold] = await products({ category: 'lamps', q: 'Lamp 100' })
  await server.order('kim', sold?.product_id ?? '', 2)
  await choose('lamps.csv', file.replace('Lamp 200', 'Lantern 200'))
  await page.getByText('Products: 249, errors: 1').waitFor()
  await run()
  await page.getByText('0 created, 1 changed, 247 unchanged, 1 rejected').waitFor()
  const [renamed] = await products({ category: 'lamps', q: 'Lantern 200' })
  expect(renamed).toMatchObject({ sku: 'S-200', version: 2, available: 5 })
  expect(await server.call('GET', `/v1/products/${sold?.product_id}`)).toMatchObject({ available: 3, version: 1 })
})

test('an interrupted import continues, and a paused one too', async () => {
  await go()
  const rows = Array.from({ length: 500 }, (_, index) => `I-${index},Interrupted ${index},100,interrupted,1`)
  await choose('interrupted.csv', ['sku,name,price,category,stock', ...rows].join('\n'))
  await page.getByText('Products: 500, errors: 0').waitFor()
  await page.getByRole('button', { name: 'Dry run' }).click()
  await page.getByText('Nothing was written.').waitFor()

  // The third call is executed, and its response is lost with the connection.
  let calls = 0
  await page.route('**/v1/admin/products/bulk', async (route) => {
    calls += 1
    if (calls < 3) return route.continue()
    if (calls === 3) await route.fetch()
    return route.abort()
  })
  await page.getByRole('button', { name: 'Start import' }).click()
  await page.getByText('No response').waitFor({ timeout: 20_000 })
  await page.getByText('200 / 500').waitFor()
  await page.unroute('**/v1/admin/products/bulk')

  // The next call waits, and the import pauses behind it.
  let release = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))
  await page.route('**/v1/admin/products/bulk', async (route) => {
    await released
    return route.continue()
  })
  await page.getByRole('button', { name: 'Resume' }).click()
  await page.getByRole('button', { name: 'Pause' }).click()
  release()
  await page.getByText('300 / 500').waitFor()
  await page.unroute('**/v1/admin/products/bulk')
  expect(await page.getByText('The import is complete.').count()).toBe(0)
  await page.getByRole('button', { name: 'Resume' }).click()
  await page.getByText('The import is complete.').waitFor()
  await page.getByText('400 created, 0 changed, 100 unchanged, 0 rejected').waitFor()
  const [last] = await products({ category: 'interrupted', limit: '1' })
  expect(last).toMatchObject({ available: 1, version: 1 })
})

test('a file of a Korean spreadsheet is imported: CP949, and line breaks within cells', async () => {
  await go()
  const file = readFileSync(new URL('korean-cp949.csv', GOLDEN))
  const golden = JSON.parse(readFileSync(new URL('korean-cp949.json', GOLDEN), 'utf8')) as {
    rows: { row: { sku: string; name: string } }[]
  }
  await choose('상품.csv', file)
  await page.getByText('EUC-KR').waitFor()
  await run()
  for (const { row } of golden.rows) {
    const found = (await products({ q: row.name, limit: '100' })).find(({ sku }) => sku === row.sku)
    expect(found?.name).toBe(row.name)
  }

  await choose('bom.csv', '\ufeffsku;name;price;category;description\r\nBOM-1;Mark;100;test;"one\r\ntwo"\r\n')
  await page.getByText('UTF-8').waitFor()
  await page.getByText('Products: 1, errors: 0').waitFor()
  await run()
  expect(await products({ q: 'Mark', category: 'test' })).toMatchObject([{ sku: 'BOM-1', description: 'one\ntwo' }])
})

test('a file without text is refused', async () => {
  await go()
  await choose('picture.csv', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0xff, 0xff, 0xff, 0x00]))
  await page.getByText('The file is text in neither UTF-8 nor CP949.').waitFor()
})

test('a guessed column can be changed', async () => {
  await go()
  await choose('odd.csv', 'sku,label,price\nA,Lamp,100\n')
  await page.getByText('Products: 0, errors: 1').waitFor()
  await page.getByLabel('Field of the column label').selectOption({ label: 'Name' })
  await page.getByText('Products: 1, errors: 0').waitFor()
})

test('ten thousand rows are imported, listed by page, exported, and unchanged when imported again', async () => {
  await go()
  const rows = Array.from({ length: 10_000 }, (_, index) => `T-${index},=Row ${index},100,thousands,1`)
  await choose('thousands.csv', ['sku,name,price,category,stock', ...rows].join('\n'))
  await page.getByText('Products: 10,000, errors: 0').waitFor()
  await run()
  await page.getByText('10,000 created, 0 changed, 0 unchanged, 0 rejected').waitFor()

  await page.goto(`${server.url}/console/#/products?category=thousands`)
  await expect.poll(() => page.getByRole('row').count()).toBe(21)
  await page.getByRole('button', { name: 'Show more' }).click()
  await expect.poll(() => page.getByRole('row').count()).toBe(41)

  const download = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Export' }).click()
  const exported = readFileSync(await (await download).path())
  const text = exported.toString('utf8')
  expect(text.startsWith('\ufeffproduct_id,sku,')).toBe(true)
  // A spreadsheet would run the name as a formula.
  expect(text).toContain(",'=Row 9999,")
  await go()
  await choose('products.csv', exported)
  await page.getByText('Jangteo export').waitFor()
  await run()
  await page.getByText(/^0 created, 0 changed, 1\d,\d{3} unchanged, 0 rejected$/).waitFor()
}, 300_000)
