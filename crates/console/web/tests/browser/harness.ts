// The real server with a demo shop, and a real browser.
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import { expect } from 'vitest'

const ROOT = fileURLToPath(new URL('../../../../../', import.meta.url))
const BINARY = process.env.JANGTEO ?? join(ROOT, 'target/debug/jangteo')
const BROWSERS = [
  process.env.CHROMIUM ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
]

export class Server {
  url = ''
  /** The link to the back office, with its code. */
  link = ''
  adminToken = ''
  private process!: ChildProcess

  private constructor(
    private readonly folder: string,
    private readonly settings: Record<string, string>,
  ) {}

  /** Starts `jangteo serve`; with `--dev` unless other settings of tokens are given. */
  static async start(settings: Record<string, string> = {}): Promise<Server> {
    const folder = await mkdtemp(join(tmpdir(), 'jangteo-console-'))
    const server = new Server(folder, {
      DATABASE_URL: `sqlite:${join(folder, 'shop.db')}`,
      BIND: '127.0.0.1:0',
      RATE_LIMIT: 'off',
      RATE_LIMIT_ANONYMOUS: 'off',
      RUST_LOG: 'warn',
      ...settings,
    })
    await server.serve()
    return server
  }

  private async serve(): Promise<void> {
    const isDemo = !Object.keys(this.settings).some((name) => name.startsWith('JWT_'))
    const child = spawn(BINARY, ['serve', ...(isDemo ? ['--dev'] : [])], {
      cwd: this.folder,
      env: { PATH: process.env.PATH, ...this.settings },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.process = child
    const found: Record<string, string> = {}
    for await (const line of createInterface({ input: child.stdout })) {
      found.url ??= /^listening on (\S+)/.exec(line)?.[1] ?? (undefined as never)
      found.link ??= /(http\S+\/console\/#code=\S+)/.exec(line)?.[1] ?? (undefined as never)
      found.token ??= /^ADMIN='Authorization: Bearer ([^']+)'/.exec(line)?.[1] ?? (undefined as never)
      if (found.url && (!isDemo || (found.link && found.token))) break
    }
    if (!found.url) throw new Error(`${BINARY} did not start`)
    ;[this.url, this.link, this.adminToken] = [found.url, found.link ?? '', found.token ?? '']
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    this.process.kill(signal)
    await once(this.process, 'exit')
  }

  async stop(): Promise<void> {
    await this.end('SIGTERM')
    await rm(this.folder, { recursive: true, force: true })
  }

  /** Ends the process without a warning. */
  kill(): Promise<void> {
    return this.end('SIGKILL')
  }

  /** Runs again at the same address, with the same database, keys and files. */
  async restart(settings: Record<string, string> = {}): Promise<void> {
    await this.end('SIGTERM')
    Object.assign(this.settings, { BIND: new URL(this.url).host }, settings)
    await this.serve()
  }

  /** The output of a command of the same binary, with the settings of the server. */
  async run(...command: string[]): Promise<string> {
    const env = { PATH: process.env.PATH, ...this.settings }
    const { stdout } = await promisify(execFile)(BINARY, command, { cwd: this.folder, env })
    return stdout.trim()
  }

  /** Calls the API as the back office, or as a customer; returns the body of a success. */
  async call<T = Record<string, unknown>>(method: string, path: string, body?: unknown, user?: string): Promise<T> {
    const token = user ? await this.tokenOf(user) : this.adminToken
    const headers = {
      Authorization: `Bearer ${token}`,
      'Idempotency-Key': randomUUID(),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    }
    const request = { method, headers, body: body === undefined ? null : JSON.stringify(body) }
    for (let attempt = 1; ; attempt += 1) {
      const response = await fetch(`${this.url}${path}`, request)
      const text = await response.text()
      if (response.ok) return JSON.parse(text) as T
      // A disk of a busy machine may stall for longer than a write waits for it.
      if (response.status !== 503 || attempt === 4) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    }
  }

  async tokenOf(user: string): Promise<string> {
    const response = await fetch(`${this.url}/console/demo/user`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ user_id: user }),
    })
    return ((await response.json()) as { token: string }).token
  }

  /** Revokes the token, as if it expired. A token of the same user is valid again from the next second on. */
  async revoke(token: string): Promise<void> {
    const { sub, iat } = claimsOf(token)
    const before = new Date((iat + 1) * 1_000)
    await this.run('token', 'revoke', '--user', sub, '--before', before.toISOString())
    await expect.poll(() => Date.now()).toBeGreaterThan(before.getTime())
  }

  /** A product that is on sale. */
  async product(details: Record<string, unknown>, stock: number): Promise<string> {
    const made = await this.call<{ product_id: string }>('POST', '/v1/admin/products', {
      category: 'test',
      price: '1000',
      ...details,
    })
    const path = `/v1/admin/products/${made.product_id}/stock-movements`
    await this.call('POST', path, { quantity: stock, reason: 'test' })
    return made.product_id
  }

  /** A campaign of a fixed discount, open for a day unless other times are given. */
  async campaign(
    details: { name: string; quantity: number },
    opens = Date.now() - 1_000,
    closes = opens + 86_400_000,
  ): Promise<string> {
    const { campaign_id } = await this.call<{ campaign_id: string }>('POST', '/v1/admin/coupon-campaigns', {
      discount: { kind: 'fixed', amount: '1000' },
      issue_opens_at: new Date(opens).toISOString(),
      issue_closes_at: new Date(closes).toISOString(),
      valid_days: 30,
      ...details,
    })
    return campaign_id
  }

  /** Refunds items of an order's only line. */
  refund(order_id: string, product_id: string, quantity: number): Promise<unknown> {
    const lines = [{ product_id, quantity }]
    return this.call('POST', `/v1/admin/orders/${order_id}/refunds`, { lines, restock: true, reason: 'returned' })
  }

  /** An order of the user; paid unless `isOpen`. */
  async order(user: string, product_id: string, quantity: number, isOpen = false): Promise<string> {
    const { order_id } = await this.call<{ order_id: string }>(
      'POST',
      '/v1/orders',
      { lines: [{ product_id, quantity }] },
      user,
    )
    if (isOpen) return order_id
    await this.call('POST', `/v1/users/${user}/points/top-ups`, { amount: '900000' }, user)
    await this.call('POST', `/v1/orders/${order_id}/payment`, {}, user)
    return order_id
  }
}

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { sub: string; iat: number }

/** A receiver of events that answers with `status`. */
export class DataPlatform {
  status = 202
  #server = createServer((request, response) => {
    request.resume()
    request.on('end', () => response.writeHead(this.status).end())
  })

  static async start(status: number): Promise<DataPlatform> {
    const platform = new DataPlatform()
    platform.status = status
    platform.#server.listen(0, '127.0.0.1')
    await once(platform.#server, 'listening')
    return platform
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/events`
  }

  stop(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

/** A time zone in which it is about noon, so that no test runs over midnight. */
export function noonZone(): string {
  const hour = new Date().getUTCHours()
  return `Etc/GMT${hour < 12 ? '' : '+'}${hour - 12}`
}

export async function launch(): Promise<Browser> {
  const executablePath = BROWSERS.find((path) => path && existsSync(path))
  if (!executablePath) throw new Error('these tests require Chromium: tests/scripts/apt-install chromium')
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] })
}

export interface Visit extends BrowserContextOptions {
  /** Signs the back office in. */
  token?: string
  theme?: 'light' | 'dark'
}

/** Errors that a page reported, violations of its policy included. */
const errors = new WeakMap<Page, string[]>()

/** A page in a browser profile of its own, in English unless another locale is given. */
export async function open(browser: Browser, { token, theme, ...options }: Visit = {}): Promise<Page> {
  const context = await browser.newContext({
    locale: 'en-US',
    viewport: { width: 1440, height: 900 },
    colorScheme: theme ?? 'light',
    ...options,
  })
  if (token)
    await context.addInitScript(
      (value) => sessionStorage.getItem('jangteo.token') ?? sessionStorage.setItem('jangteo.token', value),
      token,
    )
  const page = await context.newPage()
  page.setDefaultTimeout(10_000)
  const reported: string[] = []
  errors.set(page, reported)
  page.on('request', (request) => {
    // Of the pages, not of a provider. Files that a page makes itself are saved by blob: addresses.
    if (request.isNavigationRequest() || !/\/(?:console|shop)\//.test(request.frame().url())) return
    if (!/^(?:http:\/\/127\.0\.0\.1[:/]|blob:|data:)/.test(request.url())) reported.push(`request to ${request.url()}`)
  })
  page.on('pageerror', (error) => reported.push(error.message))
  page.on('console', (message) => {
    // A response that is no success is logged by the browser itself, and shown by the page.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      reported.push(message.text())
  })
  return page
}

/** Closes the page; it must not have reported an error. */
export async function close(page: Page): Promise<void> {
  const reported = errors.get(page) ?? []
  await page.context().close()
  expect(reported).toEqual([])
}
