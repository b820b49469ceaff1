import type { Product, ProductChange, ProductStatus } from '../api/types'

/** The fields of a product as a form has them: text, and options in the order of their rows. */
export interface Draft {
  name: string
  sku: string
  description: string
  category: string
  item_group_id: string
  price: string
  status: ProductStatus
  options: { name: string; value: string }[]
}

export const emptyDraft = (): Draft => ({
  name: '',
  sku: '',
  description: '',
  category: '',
  item_group_id: '',
  price: '',
  status: 'on_sale',
  options: [],
})

export const draftOf = (product: Product): Draft => ({
  name: product.name,
  sku: product.sku ?? '',
  description: product.description,
  category: product.category,
  item_group_id: product.item_group_id ?? '',
  price: product.price,
  status: product.status,
  options: Object.entries(product.options).map(([name, value]) => ({ name, value })),
})

/** The body that makes a product of the draft; a removed SKU or group is `null`. */
export function bodyOf(draft: Draft) {
  const { options, sku, item_group_id, ...same } = draft
  const filled = options.filter(({ name, value }) => name || value)
  return {
    ...same,
    sku: sku.trim() || null,
    item_group_id: item_group_id.trim() || null,
    options: Object.fromEntries(filled.map(({ name, value }) => [name, value])),
  }
}

const isEqual = (left: unknown, right: unknown) => JSON.stringify(left) === JSON.stringify(right)

/** The fields that differ from the product. */
export function changesOf(base: Product, draft: Draft): ProductChange {
  const before: Record<string, unknown> = bodyOf(draftOf(base))
  return Object.fromEntries(Object.entries(bodyOf(draft)).filter(([name, value]) => !isEqual(value, before[name])))
}

/** The fields that differ between two versions, with their new values. */
export function differences(before: Product, after: Product): { field: string; value: string }[] {
  const text = (value: unknown) => (typeof value === 'string' ? value : value === null ? '' : JSON.stringify(value))
  return Object.entries(changesOf(before, draftOf(after))).map(([field, value]) => ({ field, value: text(value) }))
}

/** The draft of the newer product with the same changes as a draft of the older one. */
export function rebase(draft: Draft, before: Product, after: Product): Draft {
  const changed = new Set(Object.keys(changesOf(before, draft)))
  const merged = Object.entries(draftOf(after)).map(([field, value]) => [
    field,
    changed.has(field) ? draft[field as keyof Draft] : value,
  ])
  return Object.fromEntries(merged) as Draft
}
