import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import { expect, onTestFinished, vi } from 'vitest'
import { event, fromSqs, type AdapterEnv } from '../../src/adapter/index.ts'
import { createApi, type ConsoleFiles } from '../../src/api/index.ts'
import type { Notification, RelayCommand } from '../../src/protocol/index.ts'
import { toOutcomeEffects } from '../../src/store/effects/park-effects.ts'
import { relayParked } from '../../src/store/index.ts'
import { notification } from '../adapter/factories.ts'
import { notice } from '../api/api-world.ts'
import { usePage } from '../support/browser.ts'
import { useFunctionEnv } from '../support/env.ts'
import { routeOf } from '../support/routes.ts'
import { useSqs } from '../support/sqs.ts'
import { useStore } from '../support/store.ts'
import { useTrigger } from '../support/triggers.ts'

const TOKENS = { operate: 'o'.repeat(40), read: 'r'.repeat(40) }

export type ParkOptions = {
  readonly route?: string
  readonly reason?: string
  readonly status?: number
  /** The number of the first notification. */
  readonly from?: number
  readonly own?: (n: number) => Partial<Notification> & { payload?: unknown }
}

/** The console over a real read model and real queues, a function of agents/status that a test can make fail, and the function of replays. */
export async function useParkedConsole(
  files: ConsoleFiles,
  { hasQueues = true }: { readonly hasQueues?: boolean } = {},
) {
  const [sqs, { store, proxy }] = [await useSqs(), await useStore()]
  useFunctionEnv(proxy, sqs, { ENIGMA_QUEUE_PREFIX: 'enigma-' })
  vi.resetModules()
  const { wire } = await import('../../src/lambda/wiring.ts')
  const { sendReplayStep } = await import('../../src/lambda/sqs-queues.ts')
  const { handler } = await import('../../src/lambda/replay-function.ts')
  const state = { isBroken: (_id: string) => false }
  const handled: string[] = []
  const app = new Hono<AdapterEnv>().post('/agents/status/:ref?', async (c) => {
    const { id } = await event(c)
    if (state.isBroken(id)) return c.text('still broken', 422)
    handled.push(id)
    return c.body(null, 204)
  })
  await useTrigger(sqs, 'agents-status', fromSqs(app, { ...wire(routeOf('agents', 'status')), log: () => undefined }))
  await useTrigger(sqs, 'relay-replay', handler)
  const commands: RelayCommand[] = []
  const api = createApi({
    read: store.read,
    tokens: `jane:operate:${TOKENS.operate}\nbob:read:${TOKENS.read}`,
    console: files,
    replay: {
      commit: store.commit,
      ...(hasQueues
        ? {
            sendStep: (job) => sendReplayStep('enigma-', job),
            sendCommand: async (command) => void commands.push(command),
            drain: () => sendReplayStep('enigma-', 'drain'),
          }
        : {}),
    },
  })
  const server = createAdaptorServer({ fetch: api.fetch, overrideGlobalObjects: false }) as Server
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  /** Parks notifications as a function does, each later than the ones before. */
  const park = async (
    count: number,
    { route = 'agents-status', reason = '422: call_ref is missing', status = 422, from = 0, own }: ParkOptions = {},
  ) => {
    for (let first = from; first < from + count; first += 250) {
      const portion = Array.from({ length: Math.min(250, from + count - first) }, (_, at) => {
        const n = first + at
        const one = notification(`a${n % 7}`, n, own?.(n))
        return {
          route,
          eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:enigma-${route}.fifo`,
          key: one.id,
          notification: one,
          reason,
          status,
          attempts: 1,
          messageId: `${route}-${n}`,
          messageGroupId: one.subject ?? 'none',
        }
      })
      const effects = await toOutcomeEffects({ parked: portion, failed: [], replayed: [] }, Date.now())
      await store.commit({ effects, done: new Map() })
      // No two portions have the same time.
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
  /** Commits the notice of a notification that the relay parked. */
  const parkOfRelay = async (n: number) => {
    const parkedat = new Date().toISOString()
    const payload = {
      id: `main/l/1764000000000/${n}`,
      source: 'main',
      channel: 'enigma:notifications:campaigns',
      reason: 'too_large',
      detail: 'the message is too large',
      route: 'campaigns-cdr',
      type: 'enigma.campaigns.cdr',
      bytes: 2_000_000,
      state: 'parked' as const,
      received: parkedat,
      parkedat,
    }
    const effect = relayParked(notice(payload, { type: 'relay', subType: 'parked', transport: 'relay' }))
    await store.commit({ effects: [effect], done: new Map() })
  }
  /** The ids of the notifications that are parked, newest first. */
  const parked = async () => {
    const found: string[] = []
    for (let cursor: string | undefined; ;) {
      const page = await store.read.parked({ limit: 500, cursor })
      found.push(...page.items.flatMap((item) => item.notification_ids))
      if (page.next === null) return found
      cursor = page.next
    }
  }
  return { url, store, state, handled, commands, park, parkOfRelay, parked }
}

/** Opens a page and logs in. */
export async function logIn(browser: Browser, url: string, role: keyof typeof TOKENS, path = '#/parked') {
  const { page, errors } = await usePage(browser, { viewport: { width: 1280, height: 800 } })
  await page.goto(`${url}/console/${path}`)
  await page.getByLabel('API token').fill(TOKENS[role])
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('navigation', { name: 'Pages' }).waitFor()
  return { page, errors, token: TOKENS[role] }
}

/** Waits for a sentence in the bar at the bottom of the page. An action with Undo starts after five seconds. */
export async function waitForBar(page: Page, text: string | RegExp): Promise<void> {
  await expect.poll(() => page.locator('.bar').innerText(), { timeout: 20_000 }).toMatch(text)
}

/** Rows of a list. */
export const rows = (page: Page, list: string) => page.getByRole('table', { name: list }).locator('tr[data-id]')
export const button = (page: Page, name: string | RegExp) => page.getByRole('button', { name })
export const cells = (page: Page, list: string) =>
  rows(page, list).evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent.trim())))
