// The client of the API: the caller's token and language on every request, and problems as exceptions.
import createClient from 'openapi-fetch'
import { untrack } from 'svelte'
import { language } from '../lib/i18n.svelte'
import { session } from '../lib/session.svelte'
import type { paths } from './document'
import { Problem } from './problem'

/** In milliseconds; the server's own limit of a request is ten seconds. */
const TIMEOUT = 20_000
/** A response may be this old, in seconds, so that many pages share one. */
const AGE_MAX = 1

/** The time of the last write, which the reads after it must show. */
let writtenAt = -Infinity

type Observer = (request: Request, response: Response, milliseconds: number) => void
const observers = new Set<Observer>()

/** Reports every response, until the returned function is called. */
export function observe(observer: Observer): () => void {
  observers.add(observer)
  return () => observers.delete(observer)
}

async function send(request: Request): Promise<Response> {
  // A page that reads would read from the start with each token.
  const token = untrack(() => session.token)
  if (token) request.headers.set('Authorization', `Bearer ${token}`)
  request.headers.set('Accept-Language', language.current)
  const isRead = request.method === 'GET'
  if (isRead && performance.now() - writtenAt > 1_000 * AGE_MAX)
    request.headers.set('Cache-Control', `max-age=${AGE_MAX}`)
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(TIMEOUT)])
  const start = performance.now()
  // Its body is gone once it is sent.
  const copies = Array.from(observers, (observer) => ({ observer, copy: request.clone() }))
  let response: Response
  try {
    response = await fetch(request, { signal })
  } finally {
    // Also a write without a response may have had its effect.
    if (!isRead) writtenAt = performance.now()
  }
  for (const { observer, copy } of copies) observer(copy, response.clone(), performance.now() - start)
  if (response.status === 401 && token) session.expire(token)
  return response
}

export const api = createClient<paths>({
  baseUrl: location.origin,
  fetch: send,
  // Without it the parameters of a filter that is not set would be sent as empty.
  querySerializer: (query) => queryText(query as Record<string, unknown>),
})

/** The text of a query, without empty and undefined parameters. */
export function queryText(query: Record<string, unknown>): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value])
      .filter((item) => item !== undefined && item !== '' && item !== null)
      .map((item) => [name, String(item)]),
  )
  return new URLSearchParams(pairs).toString()
}

interface Result<T> {
  data?: T
  error?: unknown
  response: Response
}

/** The body of a successful response; throws a {@link Problem} otherwise. */
export async function body<T>(call: Promise<Result<T>>): Promise<T> {
  let result: Result<T>
  try {
    result = await call
  } catch (cause) {
    throw Problem.ofLostConnection(cause)
  }
  if (!result.response.ok) throw Problem.of(result.response, result.error)
  return result.data as T
}

/** The headers of a write. */
export const idempotent = (key: string) => ({ 'Idempotency-Key': key })
