import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'

const BUILT = new URL('../../../built/', import.meta.url)
const KIB = 1024
/** With the fast compression of the server. */
const size = (name: string) => gzipSync(readFileSync(new URL(name, BUILT)), { level: 1 }).length

/** The file, and all that it needs before it is shown. */
function loaded(name: string, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found
  found.add(name)
  if (!/\.(html|js)$/.test(name)) return found
  const text = readFileSync(new URL(name, BUILT), 'utf8')
  const links = name.endsWith('.html')
    ? [...text.matchAll(/"\/console\/(assets\/[^"]+)"/g)].map(([, link]) => link!)
    : [...text.matchAll(/(?:from|import)"\.\/([^"]+)"/g)].map(([, link]) => `assets/${link}`)
  links.forEach((link) => loaded(link, found))
  return found
}

test.each(['index.html', 'shop.html'])('%s loads at most 120 KiB', (page) => {
  const files = [...loaded(page)]
  expect(files.length).toBeGreaterThan(3)
  expect(files.reduce((sum, name) => sum + size(name), 0)).toBeLessThan(120 * KIB)
})

test('all files have at most 200 KiB', () => {
  const files = readdirSync(BUILT, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const total = files.reduce((sum, { name }) => sum + size(name.endsWith('.html') ? name : `assets/${name}`), 0)
  expect(total).toBeLessThan(200 * KIB)
})
