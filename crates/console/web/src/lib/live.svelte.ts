// Reads that repeat, so that a page shows changes on the server. A hidden page reads nothing, nor does one whose session
// has expired.
import { untrack } from 'svelte'
import { Problem } from '../api/problem'
import type { List } from '../api/types'
import { session } from './session.svelte'

/** In milliseconds. */
const INTERVAL = 1_000
const INTERVAL_MAX = 30_000

class Connection {
  /** Whether the last read of any kind had a response. */
  isUp = $state(true)
}

export const connection = new Connection()

export interface Live<T> {
  readonly data: T | undefined
  readonly problem: Problem | undefined
  /** Reads now, as after a change. */
  refresh(): void
}

/**
 * Reads now, whenever state that `read` uses changes, and every second. Called while a component is initialized.
 * `read` may return `undefined` for nothing to read. While `isPaused` nothing is read of itself.
 */
export function live<T>(read: (signal: AbortSignal) => Promise<T> | undefined, isPaused = () => false): Live<T> {
  let data = $state.raw<T>()
  let problem = $state.raw<Problem>()
  let refresh = () => {}
  let again = () => {}
  let text = ''

  $effect(() => {
    const stop = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    let failures = 0
    let isReading = false
    const round = async () => {
      clearTimeout(timer)
      if (isReading || untrack(() => session.hasExpired)) return
      const reading = read(stop.signal)
      if (!reading) return
      isReading = true
      try {
        const found = await reading
        if (stop.signal.aborted) return
        failures = 0
        connection.isUp = true
        // An equal answer renders nothing, and moves no focus.
        const foundText = JSON.stringify(found)
        if (foundText !== text || problem) [text, data, problem] = [foundText, found, undefined]
      } catch (error) {
        // The sign-in says the rest, and is followed by another read.
        if (stop.signal.aborted || session.hasExpired) return
        if (!(error instanceof Problem)) throw error
        failures += 1
        connection.isUp = error.status !== 0
        problem = error
      } finally {
        isReading = false
      }
      schedule()
    }
    const schedule = () => {
      clearTimeout(timer)
      if (stop.signal.aborted || document.hidden) return
      timer = setTimeout(again, Math.min(INTERVAL * 2 ** failures, INTERVAL_MAX))
    }
    again = () => {
      if (document.hidden) return
      if (isPaused()) schedule()
      else void round()
    }
    refresh = () => void round()
    untrack(() => ([data, text, problem] = [undefined, '', undefined]))
    void round()
    document.addEventListener('visibilitychange', again)
    return () => {
      stop.abort()
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', again)
    }
  })

  $effect(() => {
    if (!session.hasExpired) untrack(again)
  })

  return {
    get data() {
      return data
    },
    get problem() {
      return problem
    },
    refresh: () => refresh(),
  }
}

export interface LiveList<T> {
  readonly rows: T[] | undefined
  readonly problem: Problem | undefined
  readonly hasMore: boolean
  readonly isLoadingMore: boolean
  more(): Promise<void>
  refresh(): void
}

/** A list whose first page is live. Further pages are read once; while they are shown, no row moves. */
export function liveList<T>(
  read: (cursor: string | undefined, signal?: AbortSignal) => Promise<List<T>> | undefined,
): LiveList<T> {
  let further = $state.raw<T[]>([])
  const first = live(
    (signal) => read(undefined, signal),
    () => further.length > 0,
  )
  let cursor = $state.raw<string | null>()
  let isLoadingMore = $state(false)
  let problem = $state.raw<Problem>()

  $effect(() => {
    // Another first page has another cursor.
    const next = first.data?.next_cursor
    further = []
    cursor = next
    problem = undefined
  })

  return {
    get rows() {
      return first.data && [...first.data.data, ...further]
    },
    get problem() {
      return problem ?? first.problem
    },
    get hasMore() {
      return Boolean(cursor)
    },
    get isLoadingMore() {
      return isLoadingMore
    },
    async more() {
      if (!cursor || isLoadingMore) return
      isLoadingMore = true
      const from = first.data
      try {
        const page = await read(cursor)
        if (!page || from !== first.data) return
        further = [...further, ...page.data]
        cursor = page.next_cursor
      } catch (error) {
        if (!(error instanceof Problem)) throw error
        problem = error
      } finally {
        isLoadingMore = false
      }
    },
    refresh: first.refresh,
  }
}
