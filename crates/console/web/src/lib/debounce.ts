import { onDestroy } from 'svelte'

/** In milliseconds. */
const PAUSE = 250

/** Calls `act` once its user stops typing; not after the component is gone. */
export function debounced<Values extends unknown[]>(act: (...values: Values) => void): (...values: Values) => void {
  let timer: ReturnType<typeof setTimeout> | undefined
  onDestroy(() => clearTimeout(timer))
  return (...values) => {
    clearTimeout(timer)
    timer = setTimeout(() => act(...values), PAUSE)
  }
}
