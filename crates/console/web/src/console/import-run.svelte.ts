import { api, body, idempotent } from '../api/client'
import { Problem } from '../api/problem'
import { Action } from '../lib/action.svelte'
import { chunksOf } from '../import/chunks'
import type { ParsedRow } from '../import'

export interface Rejected {
  line: number
  /** The SKU, else the product's id. */
  key: string
  text: string
  fields: { pointer: string; reason: string }[]
}

/**
 * The import of a file, call by call. It stops at a failure and goes on from there: a row is an upsert by its SKU, so
 * that one that was sent before changes nothing.
 */
export class ImportRun {
  readonly total: number
  counts = $state({ created: 0, changed: 0, unchanged: 0, rejected: 0 })
  rejected = $state.raw<Rejected[]>([])
  isPaused = $state(false)
  #chunks: ParsedRow[][]
  #next = $state(0)
  #send: Action<number>

  constructor(
    rows: ParsedRow[],
    readonly isDryRun: boolean,
  ) {
    this.total = rows.length
    this.#chunks = chunksOf(rows)
    this.#send = new Action((key, index) => this.#sendChunk(key, index))
  }

  get done(): number {
    return this.#chunks.slice(0, this.#next).reduce((sum, chunk) => sum + chunk.length, 0)
  }

  get isDone(): boolean {
    return this.#next === this.#chunks.length
  }

  get isRunning(): boolean {
    return this.#send.isPending
  }

  get problem(): Problem | undefined {
    return this.#send.problem
  }

  /** Runs until the end, a failure, or a pause. */
  async run(): Promise<void> {
    this.isPaused = false
    while (!this.isDone && !this.isPaused) {
      if (!(await this.#send.run(this.#next))) return
      this.#next += 1
    }
  }

  async #sendChunk(key: string, index: number): Promise<void> {
    const chunk = this.#chunks[index] ?? []
    const products = chunk.map(({ row }) => row)
    const call = api.POST('/v1/admin/products/bulk', {
      body: { dry_run: this.isDryRun, products },
      headers: idempotent(key),
    })
    const answer = await body(call)
    for (const outcome of ['created', 'changed', 'unchanged', 'rejected'] as const)
      this.counts[outcome] += answer[outcome]
    const rejected = answer.results.filter(({ outcome }) => outcome === 'rejected')
    this.rejected = [
      ...this.rejected,
      ...rejected.map(({ index: position, detail, code, errors }) => ({
        line: chunk[position]?.line ?? 0,
        key: products[position]?.sku ?? products[position]?.product_id ?? '',
        text: detail ?? code ?? '',
        fields: errors ?? [],
      })),
    ]
  }
}
