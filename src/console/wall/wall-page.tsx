import { effect, type Signal, useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import type { Wall as Answer } from '../../client/index.ts'
import { formatCount, formatNumberOf, formatTime } from '../format.ts'
import { useKeys } from '../focus.tsx'
import { FilterBar, filters, setFilters } from '../location.tsx'
import { Empty, Loaded, useResource } from '../resource.tsx'
import type { Session } from '../session.ts'
import { showStatus } from '../status-bar.tsx'
import { AgentDialog } from './agent-dialog.tsx'
import { CampaignsTable } from './campaigns-table.tsx'
import { ThresholdsDialog } from './thresholds.tsx'
import { Tiles } from './tiles.tsx'
import { AGENT_STATES, lookOf, Totals } from './wall-figures.tsx'
import { createShownAgents, createWallModel, isOfWall, type ShownAgents, SORTS, type WallModel } from './wall-model.ts'

/** Shows the present state of the call centre. */
export function Wall({ session }: { readonly session: Session }) {
  const model = useMemo(createWallModel, [])
  const shown = useMemo(() => createShownAgents(model), [])
  useEffect(() => model.dispose, [])
  const resource = useResource(
    async (signal) => {
      await model.untilLive(signal)
      return session.client.wall({ signal })
    },
    [session],
    { refreshOn: isOfWall, minIntervalMs: 2_000, pollMs: 10_000 },
  )
  // `useSignalEffect` would do this work in the task that draws the next frame, and delay it.
  useEffect(() => {
    const stopUpdate = effect(shown.update)
    const stopShow = effect(() => {
      const answer = resource.data.value
      // A response that arrives after the user has paused is not shown.
      if (answer !== undefined && !model.isPaused.value) model.show(answer)
    })
    return () => {
      stopUpdate()
      stopShow()
    }
  }, [])
  const isEditing = useSignal(false)
  const togglePause = () => {
    model.togglePause()
    if (!model.isPaused.peek()) resource.refresh()
  }
  useKeys([
    { key: 'p', does: 'pause or resume the wall', run: togglePause },
    { key: 'f', does: 'full screen', run: toggleFullScreen },
  ])
  // Full screen hides the navigation, which other pages need.
  useEffect(() => () => void (document.fullscreenElement !== null && document.exitFullscreen()), [])

  const open = filters.value['open']
  return (
    <>
      <Loaded resource={resource}>
        {() => <Board model={model} shown={shown} session={session} onPause={togglePause} isEditing={isEditing} />}
      </Loaded>
      {open !== undefined && (
        <AgentDialog
          key={open}
          agentRef={open}
          session={session}
          model={model}
          onClose={() => {
            if (filters.peek()['open'] === open) setFilters({ open: '' })
          }}
        />
      )}
      {isEditing.value && (
        <ThresholdsDialog
          states={Object.keys(model.wall.peek()?.totals.agents ?? {})}
          onClose={() => void (isEditing.value = false)}
        />
      )}
    </>
  )
}

const openAgent = (ref: string) => setFilters({ open: ref })

function toggleFullScreen(): void {
  const change =
    document.fullscreenElement === null ? document.documentElement.requestFullscreen() : document.exitFullscreen()
  change.catch(() => showStatus('This browser does not allow full screen here.', true))
}

function Board({
  model,
  shown,
  session,
  onPause,
  isEditing,
}: {
  readonly model: WallModel
  readonly shown: ShownAgents
  readonly session: Session
  readonly onPause: () => void
  readonly isEditing: Signal<boolean>
}) {
  const wall = model.wall.value
  if (wall === undefined) return null
  if (model.refs.value.length === 0 && model.campaignRefs.value.length === 0)
    return (
      <Empty title="No data from the call centre yet">
        Agents and campaigns appear here with their first status, call or CDR. If the dialler is running, check on the
        page Health that a relay is ready.
      </Empty>
    )
  return (
    <>
      <Totals wall={wall} />
      <details class="section" open>
        <summary>
          <h2>Campaigns</h2>
        </summary>
        <CampaignsTable model={model} session={session} only={filters.value['campaign']} />
      </details>
      <div class="wall-bar">
        <FilterBar fields={fieldsOf(wall, model.campaignRefs.value)} />
        <div class="actions">
          <PauseControl model={model} onPause={onPause} />
          <button class="second" onClick={() => void (isEditing.value = true)}>
            Thresholds
          </button>
          <button class="second" onClick={toggleFullScreen} aria-keyshortcuts="f">
            Full screen
          </button>
        </div>
      </div>
      <Summary model={model} shown={shown} />
      <Tiles model={model} shown={shown} onOpen={openAgent} />
    </>
  )
}

function fieldsOf({ totals }: Answer, campaigns: readonly string[]) {
  const { state, campaign } = filters.value
  const list = (known: readonly string[], selected: string | undefined) =>
    [...new Set([...known, ...(selected === undefined ? [] : [selected])])].toSorted((a, b) =>
      a.localeCompare(b, 'en', { numeric: true }),
    )
  const states = [...AGENT_STATES, ...Object.keys(totals.agents), ...(state === undefined ? [] : [state])]
  return [
    { name: 'agent', label: 'Agent', placeholder: 'part of a reference' },
    {
      name: 'state',
      label: 'State',
      options: [...new Set(states)].map((value) => ({ value, label: `${lookOf(value).shape} ${lookOf(value).label}` })),
    },
    {
      name: 'campaign',
      label: 'Campaign',
      options: list(campaigns, campaign).map((value) => ({ value, label: value })),
    },
    {
      name: 'level',
      label: 'Time in state',
      options: [
        { value: 'warn', label: '! long, !! too long' },
        { value: 'over', label: '!! too long' },
      ],
    },
    { name: 'sort', label: 'Order', options: SORTS, none: 'reference' },
  ]
}

function PauseControl({ model, onPause }: { readonly model: WallModel; readonly onPause: () => void }) {
  const pause = model.pause.value
  return (
    <>
      <span role="status" class={pause === undefined ? '' : 'tag warn'}>
        {pause !== undefined &&
          `Paused since ${formatTime(new Date(pause.sinceMs).toISOString())}: ${formatNumberOf(pause.missed, 'change')} not shown`}
      </span>
      <button class={pause === undefined ? 'second' : ''} onClick={onPause} aria-keyshortcuts="p">
        {pause === undefined ? 'Pause' : 'Resume'}
      </button>
    </>
  )
}

/** Shows the number of agents, or why there are none. */
function Summary({ model, shown }: { readonly model: WallModel; readonly shown: ShownAgents }) {
  const all = model.refs.value.length
  const { length } = shown.refs.value
  const { warn, over } = shown.levels.value
  const { open: _open, sort: _sort, ...own } = filters.value
  const isFiltered = Object.keys(own).length > 0
  if (all === 0) return <Empty title="No agents yet">An agent appears with its first status or call.</Empty>
  if (length === 0)
    return (
      <Empty title="No agent matches the filters">
        {formatNumberOf(all, 'agent')} in all.{' '}
        <button
          class="second"
          onClick={() => setFilters(Object.fromEntries(Object.keys(own).map((name) => [name, ''])))}
        >
          Show all agents
        </button>
      </Empty>
    )
  return (
    <div class="wall-summary">
      <h2>Agents</h2>
      <p>
        {isFiltered ? `${formatCount(length)} of ${formatCount(all)}` : formatCount(all)}
        {' · '}
        <span class={over > 0 ? 'bad' : 'muted'}>!! {formatCount(over)} too long</span>
        {' · '}
        <span class={warn > 0 ? 'warn' : 'muted'}>! {formatCount(warn)} long</span>
      </p>
    </div>
  )
}
