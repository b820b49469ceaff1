import { t } from '../lib/i18n.svelte'

export interface FieldError {
  pointer: string
  reason: string
}

/** A response that is no success (RFC 9457), or none at all. */
export class Problem extends Error {
  /** `code` is empty, and `status` 0, where no response arrived. */
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    readonly fields: FieldError[] = [],
    /** Members of the problem beside the common ones. */
    readonly members: Record<string, unknown> = {},
    /** In seconds. */
    readonly retryAfter?: number,
  ) {
    super(detail)
  }

  static of(response: Response, document: unknown): Problem {
    const members = (typeof document === 'object' && document !== null ? document : {}) as Record<string, unknown>
    const text = (name: string) => (typeof members[name] === 'string' ? members[name] : '')
    const fields = Array.isArray(members.errors) ? (members.errors as FieldError[]) : []
    const retryAfter = Number(response.headers.get('Retry-After')) || undefined
    const title = text('title') || t('problem.unexpected')
    return new Problem(response.status, text('code'), title, text('detail'), fields, members, retryAfter)
  }

  static ofLostConnection(cause: unknown): Problem {
    if (cause instanceof Problem) return cause
    const timedOut = cause instanceof DOMException && cause.name === 'TimeoutError'
    return new Problem(0, '', t('problem.lost'), t(timedOut ? 'problem.slow' : 'problem.offline'))
  }

  /** Whether the request may have had its effect, so that a retry must use the same key. */
  get isUnknown(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500 || this.code === 'REQUEST_IN_PROGRESS'
  }

  /** The reason of the field's error, in words. */
  field(pointer: string): string | undefined {
    const error = this.fields.find((field) => field.pointer === pointer || field.pointer.startsWith(`${pointer}/`))
    return error && reasonText(error.reason)
  }
}

const REASONS = [
  'MISSING',
  'UNKNOWN_FIELD',
  'DUPLICATE_KEY',
  'WRONG_TYPE',
  'INVALID',
  'NOT_POSITIVE',
  'TOO_PRECISE',
  'OUT_OF_RANGE',
  'TOO_SHORT',
  'TOO_LONG',
  'TOO_MANY',
  'EMPTY',
  'CONTROL_CHARACTER',
  'BEFORE_OPENING',
  'CONTRADICTORY',
] as const

export function reasonText(reason: string): string {
  const known = REASONS.find((name) => name === reason)
  return known ? t(`reason.${known}`) : reason
}
