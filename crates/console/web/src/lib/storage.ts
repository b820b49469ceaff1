// The browser's storage. Where storage is forbidden, a page works without it.

function guarded<T>(use: () => T): T | null {
  try {
    return use()
  } catch {
    return null
  }
}

const wrap = (storage: () => Storage) => ({
  get: (name: string) => guarded(() => storage().getItem(`jangteo.${name}`)),
  set: (name: string, value: string | null) =>
    guarded(() =>
      value === null ? storage().removeItem(`jangteo.${name}`) : storage().setItem(`jangteo.${name}`, value),
    ),
})

/** Of this tab, until it is closed: tokens, and the place to return to after a sign-in. */
export const tab = wrap(() => sessionStorage)
/** Of this browser: preferences, never a secret. */
export const browser = wrap(() => localStorage)
