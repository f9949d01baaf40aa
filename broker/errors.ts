// Every error that a user can meet: a code that is never reused, explained in docs/errors.md.

/** The codes. A new one is added at the end with a paragraph in docs/errors.md; a test compares the two. */
export const errorCodes = [
  'ORI_CONFIG_INVALID',
  'ORI_PORT_TAKEN',
  'ORI_LISTEN_FAILED',
  'ORI_TLS_INVALID',
  'ORI_STORE_OPEN',
  'ORI_STORE_LOCKED',
  'ORI_STORE_DAMAGED',
  'ORI_STORE_WRITE',
  'ORI_PLUGIN_SETUP',
  'ORI_STORE_FULL',
  'ORI_CLUSTER_NAME_TAKEN',
  'ORI_CLUSTER_VERSION',
  'ORI_CLUSTER_NONE',
  'ORI_CLUSTER_FORGET',
  'ORI_CONTROL_FAILED',
  'ORI_DRAIN_NOWHERE',
  'ORI_DRAIN_STOPPED',
  'ORI_BAN_INVALID',
  'ORI_BAN_FILE',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** The message names the thing and the way out. */
export class OrioleError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = 'OrioleError'
    this.code = code
  }
}

/** The text of anything thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
