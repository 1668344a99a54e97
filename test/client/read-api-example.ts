import { allItems, ApiProblem, createClient } from 'enigma-relay/client'

const client = createClient({ url: process.env['API'] ?? '', token: process.env['API_TOKEN'] })

const { totals } = await client.wall()
console.log('agents by status:', totals.agents)

for await (const cdr of allItems(client.cdrs, { campaign: '7', from: '2026-01-31' }))
  console.log(cdr.dialed_at, cdr.end_reason)

try {
  console.log('call:', (await client.agent('1002')).call)
} catch (error) {
  if (!(error instanceof ApiProblem) || error.code !== 'not-found') throw error
  console.log('nothing was heard of agent 1002 yet')
}

for await (const { changes, reset } of client.changes({ type: 'agents' })) {
  if (reset) console.log('agents:', (await client.agents()).items.length)
  for (const ref of new Set(changes.map((change) => change.ref)))
    console.log(ref, (await client.agent(ref)).states[0]?.status)
}
