import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'
import { signal } from '@preact/signals'

/* Keyboard shortcuts of a page, which apply while no field has the focus and no dialog is open, and modal dialogs. */

export type Shortcut = {
  /** A value of `KeyboardEvent.key`. A capital letter means Shift and that letter. */
  readonly key: string
  /** The action in a few words, for the list that `?` shows. */
  readonly does: string
  readonly run: (event: KeyboardEvent) => void
}

/** All active shortcuts. Those of the component that was mounted last come first. */
export const bindings = signal<readonly (readonly Shortcut[])[]>([])

/** Activates shortcuts for as long as the component is mounted. They are replaced whenever one of `inputs` changes. */
export function useKeys(keys: readonly Shortcut[], inputs: readonly unknown[] = []): void {
  useEffect(() => {
    bindings.value = [keys, ...bindings.peek()]
    return () => void (bindings.value = bindings.peek().filter((other) => other !== keys))
  }, inputs)
}

const FIELDS = 'input, select, textarea, [contenteditable]'
/** Elements that handle Enter themselves. */
const PRESSED = 'button, a, summary, input, select'

export function listenToKeys(): void {
  addEventListener('keydown', (event) => {
    const { key, target } = event
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return
    if (!(target instanceof Element) || document.querySelector('dialog[open]') !== null) return
    if (target.matches(FIELDS) && !(target instanceof HTMLInputElement && target.type === 'checkbox')) {
      // Escape returns from a field to the list.
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

/** Focuses an element that is rendered in the next frame. */
export const focusNextFrame = (parent: HTMLElement, selector: string): number =>
  requestAnimationFrame(() =>
    requestAnimationFrame(() => parent.querySelector<HTMLElement>(selector)?.focus({ preventScroll: true })),
  )

export type DialogProps = {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
  /** Wide enough for all fields of an entry. Default: false. */
  readonly isWide?: boolean
}

/**
 * Shows a modal dialog for as long as it is rendered. Escape and a click outside close it. Afterwards, the focus returns to the element
 * that had it, unless the user has moved it since.
 */
export function Dialog({ title, onClose, children, isWide = false }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const { activeElement } = document
    dialog.current?.showModal()
    return () => {
      // A dialog that was closed has already returned the focus. If an open dialog is removed, no element has the focus.
      if (document.activeElement === document.body && activeElement instanceof HTMLElement)
        activeElement.focus({ preventScroll: true })
    }
  }, [])
  return (
    <dialog
      ref={dialog}
      class={isWide ? 'wide' : ''}
      aria-labelledby={id}
      onClose={onClose}
      onClick={({ target, currentTarget }) => {
        if (target === currentTarget) currentTarget.close()
      }}
    >
      <div class="dialog">
        <header>
          <h2 id={id}>{title}</h2>
          <button class="quiet" aria-label="Close" onClick={() => dialog.current?.close()}>
            ✕
          </button>
        </header>
        {children}
      </div>
    </dialog>
  )
}
