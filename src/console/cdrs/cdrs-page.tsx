import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import type { CdrFilter, CdrRecord, CdrsPage, CdrsQuery } from '../../client/index.ts'
import { formatCount, formatNumberOf, formatSeconds, formatTime } from '../format.ts'
import { onChanges, mayOperate, type Session } from '../session.ts'
import { FilterBar, type FilterField, filters, type Filters, go, setFilters, toUtc } from '../location.tsx'
import { ReplayCdrsDialog } from '../replays/replay-dialogs.tsx'
import { Empty, Loaded, usePages } from '../resource.tsx'
import { type Column, createSelection, Rows } from '../rows.tsx'
import { CdrDialog } from './cdr-dialog.tsx'
import { ExportDialog } from './export.tsx'

const FIELDS: readonly FilterField[] = [
  { name: 'from', label: 'From (your time)', type: 'datetime-local' },
  { name: 'to', label: 'To (your time)', type: 'datetime-local' },
  { name: 'campaign', label: 'Campaign' },
  { name: 'agent', label: 'Agent (extension)' },
  { name: 'end_reason', label: 'End reason', placeholder: 'busy' },
]

/** Filters by personal data, which a token without access to personal data cannot use. */
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

/** Returns the filters of the list: all but the id of the open CDR. */
const ownFilters = ({ cdr: _cdr, ...own }: Filters): Filters => own

export function Cdrs({ session }: { readonly session: Session }) {
  const own = ownFilters(filters.value)
  const key = JSON.stringify(own)
  const opened = useSignal<'export' | 'replay' | undefined>(undefined)
  const cursor = useMemo(createSelection, [])
  const fresh = useSignal(0)
  const cdrs = usePages<CdrRecord, CdrsPage>(
    (query) => {
      fresh.value = 0
      return session.client.cdrs({ ...toQuery(own), ...query })
    },
    [key],
    { minIntervalMs: 3_000 },
  )
  // A list that moves disturbs a user who has scrolled down: new CDRs are then only counted, until the user asks for them.
  useEffect(
    () =>
      onChanges(({ changes }) => {
        const count = changes.filter((change) => change.type === 'campaigns/cdr' && matches(change, own)).length
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
                <button class="second" onClick={() => void (opened.value = 'replay')}>
                  Replay …
                </button>
              )}
            </div>
            {items.length === 0 && next === null ? (
              <NoCdrs filters={own} />
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
                    Load more CDRs
                  </button>
                )}
              </>
            )}
          </>
        )}
      </Loaded>
      {id !== undefined && <CdrDialog session={session} id={id} onClose={() => open(undefined)} />}
      {opened.value === 'export' && (
        <ExportDialog
          session={session}
          query={toQuery(own)}
          description={describeFilters(own)}
          onClose={() => void (opened.value = undefined)}
        />
      )}
      {opened.value === 'replay' && (
        <ReplayCdrsDialog
          session={session}
          filter={toFilter(own)}
          isPersonal={isPersonal(own)}
          description={describeFilters(own)}
          onClose={() => void (opened.value = undefined)}
        />
      )}
    </>
  )
}

/** A list of more rows is not read again for each change, because that would take several requests. */
const LIVE_ROWS = 500

type CdrChange = { readonly campaign_ref: string | null; readonly state: string | null }

/** Returns whether a change matches the filters that it can be checked against: it contains neither agent nor contact. */
const matches = ({ campaign_ref, state }: CdrChange, { campaign, end_reason: reason }: Filters): boolean =>
  (campaign === undefined || campaign_ref === campaign) && (reason === undefined || state === reason)

function NoCdrs({ filters: own }: { readonly filters: Filters }) {
  const isFiltered = Object.keys(own).length > 0
  return isFiltered ? (
    <Empty title="No CDR matches">
      Filters: {describeFilters(own)}. Every filter must match exactly. The read model keeps CDRs for three days.
    </Empty>
  ) : (
    <Empty title="No CDRs yet">
      The dialler writes a CDR for each number that it has tried, and the function campaigns-cdr adds it here. CDRs are
      kept for three days. If calls are made but no CDR appears, check the pages Parked and Health.
    </Empty>
  )
}

/** Returns the filters in the form that a replay takes. */
const toFilter = (own: Filters): CdrFilter => ({
  from: toUtc(own['from']),
  to: toUtc(own['to']),
  campaign: own['campaign'],
  agent: own['agent'],
  end_reason: own['end_reason'],
})

const toQuery = (own: Filters): CdrsQuery => ({
  ...toFilter(own),
  contact: own['contact'],
  number: own['number'],
})

const FILTER_LABELS: Readonly<Record<string, string>> = {
  from: 'from',
  to: 'to',
  campaign: 'campaign',
  agent: 'agent',
  end_reason: 'end reason',
  contact: 'contact',
  number: 'number',
}

/** Returns whether the filters select by personal data. */
const isPersonal = (own: Filters): boolean => PERSONAL.some(({ name }) => own[name] !== undefined)

/** Describes the filters: `campaign 7, end reason busy`, or `no filter`. */
function describeFilters(own: Filters): string {
  const parts = Object.entries(FILTER_LABELS).flatMap(([name, label]) =>
    own[name] === undefined ? [] : [`${label} ${own[name].replace('T', ' ')}`],
  )
  return parts.length === 0 ? 'no filter' : parts.join(', ')
}
