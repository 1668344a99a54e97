import './console.css'
import './parked/parked.css'
import './wall/wall.css'
import './cdrs/cdrs.css'
import { render } from 'preact'
import { App } from './app.tsx'
import { runClock } from './clock.ts'
import { listenToKeys } from './keys.ts'
import { followAddress } from './location.ts'

followAddress()
runClock()
listenToKeys()
render(<App />, document.body)
