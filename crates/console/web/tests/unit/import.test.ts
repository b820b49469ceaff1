import { expect, test } from 'vitest'
import { chunksOf } from '../../src/import/chunks'
import { readTable } from '../../src/import/table'

const bytes = (text: string) => new TextEncoder().encode(text)

test('a table of ten thousand rows is read in one pass', () => {
  const rows = Array.from({ length: 10_000 }, (_, index) => `S-${index},"a ""quoted"" name",100`)
  const table = readTable(bytes(['sku,name,price', ...rows].join('\r\n')))
  expect(table.rows.length).toBe(10_000)
  expect(table.rows.at(-1)).toEqual({ line: 10_001, cells: ['S-9999', 'a "quoted" name', '100'] })
})

test.each([
  ['an open quote', 'sku,name\nA,"never closed\nB,x', [{ line: 2, cells: ['A', 'never closed\nB,x'] }]],
  ['no line break at the end', 'sku,name\nA,x', [{ line: 2, cells: ['A', 'x'] }]],
  [
    'a row that ends early',
    'sku,name\nA\nB,x\n',
    [
      { line: 2, cells: ['A'] },
      { line: 3, cells: ['B', 'x'] },
    ],
  ],
  ['nothing', '', []],
])('%s is read', (_, text, rows) => expect(readTable(bytes(text)).rows).toEqual(rows))

test('a call has at most a hundred rows and a megabyte', () => {
  const rows = (count: number, description: string) =>
    Array.from({ length: count }, (_, line) => ({
      line,
      row: { sku: `S-${line}`, name: 'n', price: '1', description },
    }))
  expect(chunksOf(rows(250, '')).map((chunk) => chunk.length)).toEqual([100, 100, 50])
  const long = chunksOf(rows(250, '가'.repeat(10_000)))
  expect(long.flat().length).toBe(250)
  for (const chunk of long) expect(bytes(JSON.stringify(chunk.map(({ row }) => row))).length).toBeLessThan(1 << 20)
})
