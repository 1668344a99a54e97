import { signal } from '@preact/signals'

/** The API's time, since the clocks of screens are wrong. */

/** Unix ms, to the second. */
export const now = signal(Date.now())

let offsetMs = 0

/** Takes a time that the API has just answered. */
export function setClock(iso: string): void {
  const apiMs = Date.parse(iso)
  if (!Number.isNaN(apiMs)) offsetMs = apiMs - Date.now()
}

/** Lets `now` go on while the page is visible. */
export function runClock(): void {
  const tick = () => {
    if (!document.hidden) now.value = Date.now() + offsetMs
  }
  setInterval(tick, 1_000)
  document.addEventListener('visibilitychange', tick)
}
