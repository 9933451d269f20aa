import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { keyWanted, readerKey, refresh, refreshes, setReaderKey } from './ask'
import { loadCatalogue } from './catalogue'
import { filtersAt, pageAt, type Page, type PageModule } from './pages'
import { elsewhere, useRoute } from './router'
import { Boundary } from './ui/boundary'
import { Navigation } from './ui/navigation'
import { ScopeBar } from './ui/scope-bar'
import { Freshness, ThemeSwitch } from './ui/status'
import { KeyForm } from './ui/key-form'
import { Loading } from './ui/states'

export function App() {
  const { page: path } = useRoute()
  const page = pageAt(path)
  const wanted = keyWanted.use()
  const round = refreshes.use()
  const key = readerKey.use()
  const heading = useRef<HTMLHeadingElement>(null)
  const first = useRef(true)
  const [loaded, setLoaded] = useState<{ page: Page; module: PageModule } | null>(null)

  useEffect(() => void loadCatalogue(), [round])
  // The address that the page shows: set in the same step as the page itself.
  useLayoutEffect(() => void (document.documentElement.dataset.route = location.hash))
  useEffect(() => {
    document.title = `${page?.title ?? 'Not found'} · The Eye`
    // A screen reader says where the link has led. It reads the first page from its top.
    if (!first.current) heading.current?.focus()
    first.current = false
    scrollTo(0, 0)
  }, [page])

  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), heading.current?.focus())}>
        Skip to the content
      </a>
      <Navigation current={page} />
      <div class="content">
        <header class="top">
          <div class="title">
            <h1 ref={heading} tabIndex={-1}>
              {page?.title ?? 'Not found'}
            </h1>
            {page && <p>{page.about}</p>}
          </div>
          <div class="status">
            <Freshness />
            <button type="button" class="quiet" onClick={refresh}>
              Refresh
            </button>
            <ThemeSwitch />
            {key && (
              <button type="button" class="quiet" onClick={() => setReaderKey(null)}>
                Forget key
              </button>
            )}
          </div>
          <ScopeBar filters={filtersAt(path)} known={loaded && loaded.page === page ? (loaded.module.params ?? {}) : undefined} />
        </header>
        <main id="main">
          {wanted && <KeyForm />}
          {page ? (
            <Boundary key={page.path} what="This page" of={location.hash}>
              {() => <Lazy page={page} onLoad={(module) => setLoaded({ page, module })} />}
            </Boundary>
          ) : (
            <p class="state">
              There is no page “{path}”. <a href={elsewhere('usage')}>Go to Usage</a>
            </p>
          )}
        </main>
      </div>
    </>
  )
}

function Lazy({ page, onLoad }: { page: Page; onLoad: (module: PageModule) => void }) {
  const [module, setModule] = useState<PageModule | null>(null)
  const [failed, setFailed] = useState(false)
  useEffect(() => {
    let gone = false
    page.load().then(
      (module) => gone || (setModule(module), onLoad(module)),
      () => gone || setFailed(true),
    )
    return () => void (gone = true)
  }, [])
  if (failed)
    return (
      <p class="state problem" role="alert">
        This page could not be loaded. The console may have been updated: <button type="button" onClick={() => location.reload()}>Load it again</button>
      </p>
    )
  return module ? <module.default /> : <Loading />
}
