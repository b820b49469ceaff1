// The products of a table, by the rules of tests/golden/import: errors with line and column, and the rows of the API.
import type { ProductRow, ProductStatus } from '../api/types'
import type { FieldName, Format } from './columns'
import type { Table } from './table'
import { derivedSku, textOfHtml } from './text'

export interface ParsedRow {
  line: number
  row: ProductRow
}

export interface RowError {
  line: number
  /** The header as written; `null` for none. */
  column: string | null
  reason: string
}

type Cells = Partial<Record<FieldName, string>>

/** A row of the table with its cells by field, completed by inherited ones. */
interface Source {
  line: number
  cells: Cells
  group?: string
  parent?: Cells
  /** Options that a parent lists. */
  listed?: Record<string, string>
}

const STATUSES: Record<string, ProductStatus> = {
  on_sale: 'on_sale',
  active: 'on_sale',
  판매중: 'on_sale',
  진열: 'on_sale',
  hidden: 'hidden',
  draft: 'hidden',
  숨김: 'hidden',
  미진열: 'hidden',
  discontinued: 'discontinued',
  archived: 'discontinued',
  판매중지: 'discontinued',
  판매종료: 'discontinued',
}
const PUBLISHED = ['true', '1', 'yes']
const UNPUBLISHED = ['false', '0', '-1', '2', 'no']
const INHERITED = /^(?:name|description|category|status|published|option\d+_name)$/
const GROUP_MAX = 64

export async function productsOf(
  { headers, rows }: Table,
  format: Format,
  columns: (FieldName | null)[],
): Promise<{ rows: ParsedRow[]; errors: RowError[] }> {
  const parsed: ParsedRow[] = []
  const errors: RowError[] = []
  const keys = new Set<string>()
  const named = rows.map(({ line, cells }) => ({ line, cells: byField(cells, columns) }))
  const families = familiesOf(named, format)
  const isLong = new Set(rows.filter(({ cells }) => cells.length > headers.length).map(({ line }) => line))
  for (const { line, cells } of named) {
    const problems: { field: FieldName | null; reason: string }[] = []
    if (isLong.has(line)) problems.push({ field: null, reason: 'TOO_MANY_CELLS' })
    else {
      const source = sourceOf({ line, cells }, format, families, problems)
      if (!source) continue
      if (!problems.some(({ reason }) => reason === 'UNSUPPORTED_TYPE')) {
        const row = await productOf(source, format, keys, problems)
        if (!problems.length) parsed.push({ line, row })
      }
    }
    errors.push(...problems.map(({ field, reason }) => ({ line, column: headerOf(field), reason })))
  }
  return { rows: parsed, errors }

  function headerOf(field: FieldName | null): string | null {
    const index = columns.findIndex((column) => column !== null && column === field)
    return index < 0 ? null : headers[index]!
  }
}

function byField(cells: string[], columns: (FieldName | null)[]): Cells {
  const pairs = columns.map((field, index) => [field, cells[index] ?? ''] as const)
  return Object.fromEntries(pairs.filter(([field, cell]) => field !== null && cell !== ''))
}

interface Families {
  /** The cells that rows of a group inherit. */
  groups: Map<string, Cells>
  /** Parents by SKU and, of WooCommerce, by `id:…`. */
  parents: Map<string, Cells>
  /** By the SKU of a variation of Magento. */
  variations: Map<string, { parent: Cells; options: Record<string, string> }>
}

function familiesOf(rows: { cells: Cells }[], format: Format): Families {
  const families: Families = { groups: new Map(), parents: new Map(), variations: new Map() }
  for (const { cells } of rows) {
    const type = typeOf(cells)
    if (format === 'woocommerce' && type === 'variable') {
      if (cells.sku) families.parents.set(cells.sku, cells)
      if (cells.id) families.parents.set(`id:${cells.id}`, cells)
    } else if (format === 'magento' && type === 'configurable' && !cells.store) {
      for (const variation of (cells.variations ?? '').split('|').filter(Boolean)) {
        const { sku, ...options } = pairsOf(variation)
        if (sku) families.variations.set(sku, { parent: cells, options })
      }
    } else if ((format === 'shopify' || format === 'plain') && cells.item_group_id) {
      const first = families.groups.get(cells.item_group_id) ?? {}
      families.groups.set(cells.item_group_id, { ...inheritable(cells), ...first })
    }
  }
  return families
}

const typeOf = (cells: Cells) => (cells.type ?? '').split(',')[0]!.trim().toLowerCase()

const inheritable = (cells: Cells): Cells =>
  Object.fromEntries(Object.entries(cells).filter(([field]) => INHERITED.test(field)))

/** `name=value,name=value`; a comma within a value is followed by no name. */
const pairsOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text.split(/,(?=[^,=]+=)/).flatMap((pair) => {
      const [name, ...value] = pair.split('=')
      return name?.trim() && value.length ? [[name.trim(), value.join('=').trim()]] : []
    }),
  )

/** The row with its family; nothing where it is no product. */
function sourceOf(
  { line, cells }: Pick<Source, 'line' | 'cells'>,
  format: Format,
  families: Families,
  problems: { field: FieldName | null; reason: string }[],
): Source | undefined {
  switch (format) {
    case 'shopify': {
      if (!cells.sku && !cells.price && !cells.option1_value) return undefined
      return { line, cells, group: cells.item_group_id, parent: families.groups.get(cells.item_group_id ?? '') }
    }
    case 'woocommerce': {
      const type = typeOf(cells)
      if (type === 'variable') return undefined
      if (type === 'simple') return { line, cells }
      if (type !== 'variation') problems.push({ field: 'type', reason: 'UNSUPPORTED_TYPE' })
      const parent = families.parents.get(cells.parent ?? '')
      if (type === 'variation' && !parent) problems.push({ field: 'parent', reason: 'PARENT_NOT_FOUND' })
      const group = parent && (parent.sku ?? `id:${parent.id}`)
      return { line, cells, group, parent: parent && inheritable(parent) }
    }
    case 'magento': {
      const type = typeOf(cells)
      if (cells.store || type === 'configurable') return undefined
      if (!['simple', 'virtual', 'downloadable'].includes(type))
        problems.push({ field: 'type', reason: 'UNSUPPORTED_TYPE' })
      const found = families.variations.get(cells.sku ?? '')
      return {
        line,
        cells,
        group: found?.parent.sku,
        parent: found && inheritable(found.parent),
        listed: found?.options,
      }
    }
    case 'jangteo':
      return { line, cells, group: cells.item_group_id }
    case 'plain':
      return { line, cells, group: cells.item_group_id, parent: families.groups.get(cells.item_group_id ?? '') }
  }
}

async function productOf(
  source: Source,
  format: Format,
  keys: Set<string>,
  problems: { field: FieldName | null; reason: string }[],
): Promise<ProductRow> {
  const cells: Cells = { ...source.parent, ...source.cells }
  const report = (field: FieldName, reason: string) => void problems.push({ field, reason })
  const options = optionsOf(source, cells, report)

  const { group } = source
  let sku = cells.sku
  const product_id = format === 'jangteo' ? cells.product_id : undefined
  if (!sku && !product_id && group) sku = await derivedSku(group, options)
  const key = sku ?? product_id
  if (!key) report('sku', 'NO_KEY')
  else if (keys.has(key)) report('sku', 'DUPLICATE_KEY')
  else keys.add(key)

  if (!cells.name) report('name', 'MISSING')
  const price = priceOf(cells.price, report)
  const stock = stockOf(cells.stock, report)
  const status = statusOf(cells, report)
  const item_group_id = group && [...group].length > GROUP_MAX ? await derivedSku(group) : group
  const members = {
    product_id,
    sku,
    item_group_id,
    name: cells.name,
    description: cells.description && descriptionOf(cells.description, format),
    category: cells.category && categoryOf(cells.category, format),
    options: Object.keys(options).length ? options : undefined,
    price,
    stock,
    status,
  }
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined && value !== ''))
}

type Report = (field: FieldName, reason: string) => void

function optionsOf({ listed }: Source, cells: Cells, report: Report): Record<string, string> {
  if (listed) return listed
  const options: Record<string, string> = cells.attributes ? pairsOf(cells.attributes) : {}
  if (cells.options) Object.assign(options, jsonOptions(cells.options, report))
  const numbers = Object.keys(cells).flatMap((field) => /^option(\d+)_value$/.exec(field)?.[1] ?? [])
  for (const number of numbers.map(Number)) {
    const [name, value] = [cells[`option${number}_name`], cells[`option${number}_value`]]
    // The only variant of a product without options (Shopify).
    if (name && value && !(name === 'Title' && value === 'Default Title')) options[name] = value
  }
  return options
}

function jsonOptions(text: string, report: Report): Record<string, string> {
  try {
    const value: unknown = JSON.parse(text)
    if (
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((item) => typeof item === 'string')
    ) {
      return value as Record<string, string>
    }
  } catch {
    // Reported below, as another type is.
  }
  report('options', 'INVALID_OPTIONS')
  return {}
}

function priceOf(text: string | undefined, report: Report): string | undefined {
  if (text === undefined) report('price', 'MISSING')
  else if (text.includes(',')) report('price', 'DECIMAL_COMMA')
  else if (!/^\d+(?:\.\d+)?$/.test(text)) report('price', 'NOT_A_NUMBER')
  return text
}

function stockOf(text: string | undefined, report: Report): number | undefined {
  if (text === undefined) return undefined
  if (text.includes(',')) report('stock', 'DECIMAL_COMMA')
  else if (!/^-?\d+(?:\.0+)?$/.test(text)) report('stock', 'NOT_A_NUMBER')
  return Math.max(0, Number.parseInt(text, 10) || 0)
}

function statusOf(cells: Cells, report: Report): ProductStatus | undefined {
  const status = cells.status === undefined ? undefined : STATUSES[cells.status.toLowerCase()]
  if (cells.status !== undefined && !status) report('status', 'UNKNOWN_STATUS')
  const published = cells.published?.toLowerCase() ?? ''
  if (UNPUBLISHED.includes(published)) return status === 'discontinued' ? status : 'hidden'
  return status ?? (PUBLISHED.includes(published) ? 'on_sale' : undefined)
}

function descriptionOf(text: string, format: Format): string {
  if (format === 'jangteo' || format === 'plain') return text
  return textOfHtml(format === 'woocommerce' ? unescaped(text) : text)
}

/** WooCommerce writes a comma within a value and a line break with a backslash. */
const unescaped = (text: string) => text.replace(/\\([,n])/g, (_, escaped: string) => (escaped === 'n' ? '\n' : ','))

function categoryOf(text: string, format: Format): string {
  if (format === 'woocommerce') return unescaped(text.split(/(?<!\\),/)[0]!).trim()
  if (format !== 'magento') return text
  const first = text.split(',')[0]!.trim()
  return first === 'Default Category' ? '' : first.replace(/^Default Category\//, '')
}
