import { agentCall, agentStatus, campaignStatus, type Effect } from 'enigma-relay/store'
import type { Page } from 'playwright-core'
import { expect } from 'vitest'
import type { ConsoleFiles } from '../../src/api/index.ts'
import { notice } from '../api/api-world.ts'
import { findInaccessible } from '../support/axe.ts'
import { OPERATOR, useServedApi } from '../client/client-world.ts'

/** The console over a real API and a real read model, to which a test commits changes. */

export const useServedConsole = (files: ConsoleFiles) => useServedApi({ console: files, events: { pollMs: 100 } })

export async function logIn(page: Page, url: string, hash = '', token = OPERATOR): Promise<void> {
  await page.goto(`${url}/console/${hash}`)
  await page.getByLabel('API token').fill(token)
  // The page receives changes from then on.
  const events = page.waitForResponse(/\/events/)
  await page.getByRole('button', { name: 'Log in' }).click()
  await events
}

/** An agent's state. @param minutes for how long */
export const isIn = (ref: string, status: string, { campaign = '7', minutes = 0 } = {}): Effect =>
  agentStatus(
    notice({ status, campaign_ref: campaign, ref }, { reference: ref, timeMs: Date.now() - minutes * 60_000 }),
  )

export const hasCall = (ref: string, own: object = {}): Effect =>
  agentCall(
    notice(
      { ref, call_ref: 'c1', contact_ref: 'A-1001', number: '27821234567', agent: ref, campaign_ref: null, ...own },
      { subType: 'call', reference: ref, timeMs: Date.now() },
    ),
  )

export const runs = (ref: string, status = 'started'): Effect =>
  campaignStatus(notice({ status, ref }, { type: 'campaigns', subType: 'status', reference: ref, timeMs: Date.now() }))

/** Expects axe to find no problem on the page, in either theme. */
export async function expectAccessible(page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    expect(await findInaccessible(page), colorScheme).toEqual([])
  }
}
