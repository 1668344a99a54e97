import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import type { CdrFilter, CdrRecord, CdrsPage, CdrsQuery } from '../../client/index.ts'
import { formatCount, formatNumberOf, formatSeconds, formatTime } from '../format.ts'
import { onChanges } from '../live.ts'
import { FilterBar, type FilterField, filters, type Filters, go, setFilters } from '../location.tsx'
import { ReRunDialog } from '../replays/replay-dialogs.tsx'
import { Empty, Loaded, usePages } from '../resource.tsx'
import { type Column, createSelection, Rows } from '../rows.tsx'
import { mayOperate, type Session } from '../session.ts'
import { CdrDialog } from './cdr-dialog.tsx'
import { ExportDialog } from './export.tsx'

const FIELDS: readonly FilterField[] = [
  { name: 'from', label: 'From (your time)', type: 'datetime-local' },
  { name: 'to', label: 'To (your time)', type: 'datetime-local' },
  { name: 'campaign', label: 'Campaign' },
  { name: 'agent', label: 'Agent (extension)' },
  { name: 'end_reason', label: 'End reason', placeholder: 'busy' },
]

/** A token that may see no personal data cannot search by it. */
const PERSONAL: readonly FilterField[] = [
  { name: 'contact', label: 'Contact' },
  { name: 'number', label: 'Number', placeholder: '+15550100' },
]

const COLUMNS: readonly Column<CdrRecord>[] = [
  { title: 'Dialled', cell: ({ dialed_at }) => formatTime(dialed_at) },
  { title: 'Campaign', cell: ({ campaign_ref }) => campaign_ref ?? '–' },
  { title: 'Agent', cell: ({ extension }) => extension ?? '–' },
  { title: 'Number', cell: ({ number }) => number ?? '–' },
  { title: 'Contact', cell: ({ contact_ref }) => contact_ref ?? '–' },
  { title: 'End reason', cell: ({ end_reason }) => end_reason ?? '–' },
  { title: 'Talk', cell: ({ call_time }) => formatSeconds(call_time), isNumber: true },
  { title: 'Hold', cell: ({ hold_time }) => formatSeconds(hold_time), isNumber: true },
  { title: 'Direction', cell: ({ call_dir }) => call_dir ?? '–' },
  { title: 'Revised', cell: ({ revised }) => revised && <span class="tag warn">revised</span> },
]

/** The filters of the list; which CDR is open is not one. */
const ownFilters = ({ cdr: _cdr, ...own }: Filters): Filters => own

export function Cdrs({ session }: { readonly session: Session }) {
  const own = ownFilters(filters.value)
  const key = JSON.stringify(own)
  const opened = useSignal<'export' | 're-run' | undefined>(undefined)
  const cursor = useMemo(createSelection, [])
  const fresh = useSignal(0)
  const cdrs = usePages<CdrRecord, CdrsPage>(
    (query) => {
      fresh.value = 0
      return session.client.cdrs({ ...toQuery(own), ...query })
    },
    [key],
    { leastMs: 3_000 },
  )
  // While somebody reads further down, a list that moves is in the way: new CDRs are counted, and shown at a click.
  useEffect(
    () =>
      onChanges(({ changes }) => {
        const count = changes.filter((change) => change.type === 'campaigns/cdr' && fits(change, own)).length
        if (count === 0) return
        const isAtTop = (document.querySelector('.rows')?.scrollTop ?? 0) === 0
        if (isAtTop && (cdrs.data.peek()?.items.length ?? 0) <= LIVE_ROWS) cdrs.refresh()
        else fresh.value += count
      }),
    [key],
  )
  const showNew = () => {
    document.querySelector('.rows')?.scrollTo({ top: 0 })
    cdrs.refresh()
  }
  const open = (cdr: string | undefined) => setFilters({ cdr: cdr ?? '' })
  const id = filters.value['cdr']
  return (
    <>
      <FilterBar fields={session.config.role === 'masked' ? FIELDS : [...FIELDS, ...PERSONAL]}>
        {key !== '{}' && (
          <button class="second" onClick={() => go('cdrs')}>
            Clear filters
          </button>
        )}
      </FilterBar>
      <Loaded resource={cdrs}>
        {({ items, next }) => (
          <>
            <div class="actions">
              <span role="status">
                {formatCount(items.length)}
                {next === null ? '' : ' or more'} CDRs, newest first
              </span>
              {fresh.value > 0 && (
                <button class="second" onClick={showNew}>
                  {formatNumberOf(fresh.value, 'new CDR')}: show
                </button>
              )}
              <span class="grow" />
              <button class="second" onClick={() => void (opened.value = 'export')}>
                Export as CSV …
              </button>
              {mayOperate.value && (
                <button class="second" onClick={() => void (opened.value = 're-run')}>
                  Send again …
                </button>
              )}
            </div>
            {items.length === 0 && next === null ? (
              <Nothing filters={own} />
            ) : (
              <>
                <Rows
                  label="CDRs"
                  items={items}
                  idOf={({ id: of }) => of}
                  columns={COLUMNS}
                  cursor={cursor}
                  onOpen={({ id: of }) => open(of)}
                  onEnd={cdrs.more}
                />
                {next !== null && (
                  <button class="second" onClick={cdrs.more}>
                    Read more CDRs
                  </button>
                )}
              </>
            )}
          </>
        )}
      </Loaded>
      {id !== undefined && <CdrDialog session={session} id={id} onClose={() => open(undefined)} />}
      {opened.value === 'export' && (
        <ExportDialog session={session} filters={own} onClose={() => void (opened.value = undefined)} />
      )}
      {opened.value === 're-run' && (
        <ReRunDialog session={session} filters={own} onClose={() => void (opened.value = undefined)} />
      )}
    </>
  )
}

/** More rows than one request has are not read anew for each change. */
const LIVE_ROWS = 500

type Fresh = { readonly campaign_ref: string | null; readonly state: string | null }

/** As far as a change tells: it names neither the agent nor the contact. */
const fits = ({ campaign_ref, state }: Fresh, { campaign, end_reason: reason }: Filters): boolean =>
  (campaign === undefined || campaign_ref === campaign) && (reason === undefined || state === reason)

function Nothing({ filters: own }: { readonly filters: Filters }) {
  const isFiltered = Object.keys(own).length > 0
  return isFiltered ? (
    <Empty title="No CDR matches">
      Filters: {describeFilters(own)}. Every filter must match exactly, and the read model keeps CDRs for three days.
    </Empty>
  ) : (
    <Empty title="No CDRs yet">
      The dialler writes a CDR for each number that it has tried, and the function campaigns-cdr adds it here. CDRs are
      kept for three days. If calls are made and none appears, look at Parked and Health.
    </Empty>
  )
}

/** The filters of the page as the API takes them. */

/** What a time field of a browser holds is a local time without a zone, which the API refuses. */
const toMoment = (local: string | undefined): string | undefined => {
  const ms = local === undefined || local === '' ? NaN : new Date(local).getTime()
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString()
}

/** What a replay can select by. */
export const toFilter = ({ from, to, campaign, agent, end_reason }: Filters): CdrFilter => ({
  from: toMoment(from),
  to: toMoment(to),
  campaign,
  agent,
  end_reason,
})

export const toQuery = (filters: Filters): CdrsQuery => ({
  ...toFilter(filters),
  contact: filters['contact'],
  number: filters['number'],
})

const WORDS: Readonly<Record<string, string>> = {
  from: 'from',
  to: 'to',
  campaign: 'campaign',
  agent: 'agent',
  end_reason: 'end reason',
  contact: 'contact',
  number: 'number',
}

/** The filters in words: `campaign 7, end reason busy`; `no filter`. */
export function describeFilters(filters: Filters): string {
  const said = Object.entries(WORDS).flatMap(([name, word]) =>
    filters[name] === undefined ? [] : [`${word} ${filters[name].replace('T', ' ')}`],
  )
  return said.length === 0 ? 'no filter' : said.join(', ')
}
