import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { Dialog } from '../dialog.tsx'

/** Copies a text for a ticket, and shows what was copied: whoever pastes it can see that it names nobody. */
export function DiagnosisDialog({ text, onClose }: { readonly text: string; readonly onClose: () => void }) {
  const field = useRef<HTMLTextAreaElement>(null)
  const isCopied = useSignal<boolean | undefined>(undefined)
  const copy = async () => {
    try {
      // There is none on a page without TLS.
      await navigator.clipboard.writeText(text)
      isCopied.value = true
    } catch {
      field.current?.select()
      isCopied.value = false
    }
  }
  useEffect(() => void copy(), [])
  return (
    <Dialog title="Diagnosis for a ticket" isWide onClose={onClose}>
      <p role="status" class={isCopied.value === true ? 'good' : ''}>
        {isCopied.value === true
          ? 'Copied. This is the text:'
          : isCopied.value === false
            ? 'The browser does not let the console copy. The text is selected: press Ctrl+C or ⌘C.'
            : 'Copying …'}
      </p>
      <textarea ref={field} class="diagnosis" aria-label="Diagnosis" readOnly rows={18} value={text} />
      <div class="actions">
        <button onClick={() => void copy()}>Copy again</button>
        <button class="second" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  )
}
