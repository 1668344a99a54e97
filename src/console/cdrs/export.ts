import { allItems, type CdrRecord, type CdrsQuery, type Client } from '../../client/index.ts'
import { BYTE_ORDER_MARK, formatLine } from './csv.ts'

/** How many CDRs one file holds at most: the tab holds them until they are saved. */
export const MOST_ROWS = 100_000

const COLUMNS = [
  'dialed_at',
  'campaign_ref',
  'extension',
  'number',
  'dial_number',
  'contact_ref',
  'end_reason',
  'end_code',
  'call_time',
  'hold_time',
  'call_dir',
  'recording_url',
  'call_ref',
  'source',
  'received_at',
  'revised',
  'id',
] as const satisfies readonly (keyof CdrRecord)[]

export type Exported = {
  readonly file: Blob
  readonly rows: number
  /** False: there are more than a file holds, and these are the newest. */
  readonly isComplete: boolean
}

/** Rows between two texts of the file: many short texts cost more than they hold. */
const ROWS_OF_A_PART = 500

/** Reads every CDR that fits, page by page, into a CSV file. @throws ApiProblem, or the reason of the signal */
export async function exportCdrs(
  client: Client,
  query: CdrsQuery,
  { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress: (rows: number) => void },
): Promise<Exported> {
  const parts: string[] = [BYTE_ORDER_MARK + formatLine(COLUMNS)]
  let [part, rows] = ['', 0]
  const finish = (isComplete: boolean): Exported => {
    const file = new Blob([...parts, part], { type: 'text/csv;charset=utf-8' })
    return { file, rows, isComplete }
  }
  for await (const cdr of allItems(client.cdrs, { ...query, signal })) {
    if (rows === MOST_ROWS) return finish(false)
    part += formatLine(COLUMNS.map((column) => cdr[column]))
    if (++rows % ROWS_OF_A_PART === 0) {
      parts.push(part)
      part = ''
      onProgress(rows)
    }
  }
  return finish(true)
}
