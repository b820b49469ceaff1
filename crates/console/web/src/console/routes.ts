import type { Component } from 'svelte'

// Pages by their path. A page is loaded when it is visited.
const PAGES: Record<string, () => Promise<{ default: Component }>> = {
  '/': () => import('./pages/Overview.svelte'),
  '/products': () => import('./pages/Products.svelte'),
  '/products/import': () => import('./pages/Import.svelte'),
  '/products/new': () => import('./pages/NewProduct.svelte'),
  '/orders': () => import('./pages/Orders.svelte'),
  '/campaigns': () => import('./pages/Campaigns.svelte'),
  '/users': () => import('./pages/Users.svelte'),
  '/events': () => import('./pages/Events.svelte'),
  '/books': () => import('./pages/Books.svelte'),
  '/audit-log': () => import('./pages/AuditLog.svelte'),
}

/** Pages of a single row, whose id follows the path. */
const ROW_PAGES: Record<string, () => Promise<{ default: Component<{ id: string }> }>> = {
  '/products': () => import('./pages/Product.svelte'),
  '/orders': () => import('./pages/Order.svelte'),
  '/campaigns': () => import('./pages/Campaign.svelte'),
  '/users': () => import('./pages/User.svelte'),
}

export type Page =
  | { id: undefined; load: () => Promise<{ default: Component }> }
  | { id: string; load: () => Promise<{ default: Component<{ id: string }> }> }

export function pageOf(path: string): Page | undefined {
  const page = PAGES[path]
  if (page) return { id: undefined, load: page }
  const [, parent, id] = /^(\/[^/]+)\/(.+)$/.exec(path) ?? []
  const load = parent ? ROW_PAGES[parent] : undefined
  return load && id ? { id: decodeURIComponent(id), load } : undefined
}
