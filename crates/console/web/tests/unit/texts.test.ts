import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { en } from '../../src/lib/en'
import { ko } from '../../src/lib/ko'

const texts: [string, string, string][] = Object.entries(en).map(([key, text]) => [
  key,
  text,
  ko[key as keyof typeof en],
])
/** Names and units are the same in both languages. */
const SAME = ['CSV', 'Magento', 'SKU', 'Shopify', 'WooCommerce', 'ms']

test('every text is in Korean', () => {
  expect(Object.keys(ko)).toEqual(Object.keys(en))
  const words = (text: string) => text.replace(/\{\w+\}/g, '').trim()
  const missing = texts.filter(([, , korean]) => !/[가-힣]/.test(korean) && !SAME.includes(words(korean)))
  expect(missing).toEqual([])
})

test('both languages have the same values in a text', () => {
  const values = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort()
  for (const [key, english, korean] of texts) expect([key, values(korean)]).toEqual([key, values(english)])
})

test('every text is used, and no page has a text of its own', () => {
  const folder = new URL('../../src/', import.meta.url)
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  const sources = names.filter((name) => /\.(svelte|ts)$/.test(name) && !/\/(en|ko)\.ts$/.test(name))
  const all = sources.map((name) => [name, readFileSync(new URL(name, folder), 'utf8')] as const)
  const source = all.map(([, text]) => text).join('\n')
  const groups = new Set([...source.matchAll(/(?:named\('|t\(`)([a-z-]+)/g)].map(([, group]) => group))
  const unused = Object.keys(en).filter((key) => !source.includes(`'${key}'`) && !groups.has(key.split(/[.]/)[0]))
  expect(unused).toEqual([])
  // Text between tags, outside of braces.
  const literal = all.filter(([name, text]) => {
    const markup = text.replace(/<(script|style)[\s\S]*?<\/\1>/g, '').replace(/<pre[\s\S]*?<\/pre>/g, '')
    return name.endsWith('.svelte') && />[^<>{}]*[A-Za-z가-힣]{3,}[^<>{}]*<\//.test(markup.replace(/=>/g, ''))
  })
  expect(literal.map(([name]) => name)).toEqual([])
})
