/** The settings that functions, read model and API have on every platform. */
export { readAbandonRule, readEvents, readMissingWait } from './api-settings.ts'
export { FunctionsError } from './function-error.ts'
export { provideSettings, setting, type Env, type ReadSetting } from './settings.ts'
export { readStoreOptions } from './store-settings.ts'
