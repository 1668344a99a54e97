import { signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'

/** What the keyboard does, wherever no field has the focus. */

export type Key = {
  /** As `KeyboardEvent.key` has it; a capital letter is one with Shift. */
  readonly key: string
  /** In a few words, for the list that `?` shows. */
  readonly does: string
  readonly run: (event: KeyboardEvent) => void
}

/** All that count now: those of what was opened last come first. */
export const bindings = signal<readonly (readonly Key[])[]>([])

/** Makes these keys count for as long as the component is there. `keys` is read when a key is pressed. */
export function useKeys(keys: readonly Key[], inputs: readonly unknown[] = []): void {
  useEffect(() => {
    bindings.value = [keys, ...bindings.peek()]
    return () => void (bindings.value = bindings.peek().filter((some) => some !== keys))
  }, inputs)
}

const FIELDS = 'input, select, textarea, [contenteditable]'
/** They have an Enter of their own. */
const PRESSED = 'button, a, summary, input, select'

export function listenToKeys(): void {
  addEventListener('keydown', (event) => {
    const { key, target } = event
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return
    if (!(target instanceof Element) || document.querySelector('dialog[open]') !== null) return
    if (target.matches(FIELDS) && !(target instanceof HTMLInputElement && target.type === 'checkbox')) {
      // Back to the list.
      if (key === 'Escape' && target instanceof HTMLElement) target.blur()
      return
    }
    if (key === 'Enter' && target.matches(PRESSED)) return
    const found = bindings
      .peek()
      .flat()
      .find((one) => one.key === key)
    if (found === undefined) return
    event.preventDefault()
    found.run(event)
  })
}
