export { readConfig, type RelayConfig, type SourceConfig } from './config.ts'
export { RelayError } from './relay-error.ts'
export { createRelay, type Relay, type RelayOptions } from './relay.ts'
