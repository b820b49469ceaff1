// The fields of an import, and the headers by which they are found: as in crates/app/src/import/columns.rs.

export type Format = 'jangteo' | 'shopify' | 'woocommerce' | 'magento' | 'plain'

const OPTIONS_MAX = 20

const BASE = [
  'sku',
  'product_id',
  'item_group_id',
  'name',
  'description',
  'category',
  'price',
  'stock',
  'status',
  'published',
  'options',
  'attributes',
  'type',
  'id',
  'parent',
  'variations',
  'store',
] as const
type OptionField = `option${number}_${'name' | 'value'}`
export type FieldName = (typeof BASE)[number] | OptionField

/** The fields of a user's choice for a column; options as many as the file has, and a few more. */
export function choices(guessed: (FieldName | null)[]): FieldName[] {
  const options = [1, 2, 3].flatMap((number): OptionField[] => [`option${number}_name`, `option${number}_value`])
  return [...new Set([...BASE, ...options, ...guessed.filter((field) => field !== null)])]
}

type Headers = Partial<Record<FieldName, string[]>>

/** In lower case; the first that a file has counts. */
const COMMON: Headers = {
  sku: ['sku', 'variant sku', '상품코드', '상품 코드', '품목코드', '자체상품코드'],
  product_id: ['product_id'],
  item_group_id: ['item_group_id', 'handle', '상품그룹', '품목그룹', '그룹'],
  name: ['name', 'title', 'product name', '상품명'],
  description: ['description', 'body (html)', '상품설명', '상세설명', '상품 상세설명'],
  category: ['category', 'categories', 'product category', '카테고리', '분류', '상품분류'],
  price: ['price', 'variant price', 'regular price', '판매가', '판매가격', '가격'],
  stock: ['stock', 'variant inventory qty', 'qty', 'quantity', '재고', '재고수량', '재고량'],
  status: ['status', '상태', '판매상태', '진열상태'],
  published: ['published', 'product_online'],
  options: ['options'],
  attributes: ['additional_attributes', '옵션'],
}

/** Fields of single systems, before those of all. */
const OF_FORMAT: Record<Format, Headers> = {
  plain: {},
  jangteo: {},
  shopify: { category: ['type', 'product category'] },
  woocommerce: { type: ['type'], id: ['id'], parent: ['parent'] },
  magento: { type: ['product_type'], variations: ['configurable_variations'], store: ['store_view_code'] },
}

/** `Option1 Name`, `Attribute 1 value(s)`, `옵션1 값`. */
const OPTION = /^(?:option|attribute|옵션)\s*(\d+)[_ ]*(name|이름|명|value|value\(s\)|값)$/

const normalized = (header: string) => header.trim().toLowerCase()

/** By headers that only this system has together. */
export function formatOf(headers: string[]): Format {
  const names = new Set(headers.map(normalized))
  const has = (...all: string[]) => all.every((name) => names.has(name))
  if (has('product_id', 'item_group_id')) return 'jangteo'
  if (has('handle', 'variant price')) return 'shopify'
  if (has('type', 'regular price')) return 'woocommerce'
  if (has('product_type', 'sku')) return 'magento'
  return 'plain'
}

/** The field of each header; `null` for none. */
export function guess(headers: string[], format: Format): (FieldName | null)[] {
  const names = headers.map(normalized)
  const found: (FieldName | null)[] = names.map(() => null)
  for (const table of [OF_FORMAT[format], COMMON]) {
    for (const [field, candidates] of Object.entries(table) as [FieldName, string[]][]) {
      if (found.includes(field)) continue
      const places = candidates.map((name) =>
        names.findIndex((header, place) => header === name && found[place] === null),
      )
      const place = places.find((candidate) => candidate >= 0)
      if (place !== undefined) found[place] = field
    }
  }
  return found.map((field, place) => field ?? optionOf(names[place] ?? ''))
}

function optionOf(header: string): OptionField | null {
  const [, digits, word] = OPTION.exec(header) ?? []
  const number = Number(digits)
  if (!word || number < 1 || number > OPTIONS_MAX) return null
  return `option${number}_${['name', '이름', '명'].includes(word) ? 'name' : 'value'}`
}
