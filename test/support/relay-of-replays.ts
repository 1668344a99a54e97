import { createReplayPoller } from '../../src/relay/replays/replay-poller.ts'
import { createLog } from '../../src/runtime/index.ts'
import { createSend } from './send-again.ts'

// A process that drives replays, for tests that kill it. Arguments: URL and token of the API, URL and token of the functions.
const [url = '', token = '', functionsUrl = '', push = ''] = process.argv.slice(2)
await createReplayPoller({
  api: { url, token },
  relayId: 'pbx-1',
  send: createSend(functionsUrl, push),
  log: createLog('silent'),
}).run(new AbortController().signal)
