export { readConfig, type RelayConfig, type SourceConfig } from './config.ts'
export { RelayError } from './errors.ts'
export { createRelay, type Relay, type RelayOptions } from './relay.ts'
