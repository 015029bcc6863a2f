/* The agent page. It shows what the desk says and asks for what the agent wants; it decides nothing.
 * There is no card digit in it, because none is ever sent to it: a field is a count of keys and a verdict. */
'use strict';

(() => {
  const KINDS = ['charge', 'authorise', 'tokenise'];
  const FIELDS = ['number', 'expiry', 'cvv'];
  const ENDS = ['approved', 'declined', 'cancelled', 'failed'];
  const STEP_OF = {
    storing_intent: 0, tokenising: 1, creating: 2, storing_order: 2, confirming: 3, verifying: 4, storing_result: 4
  };
  const FIELD_OF_PROBLEM = {
    number_invalid: 'number', brand_refused: 'number', expiry_invalid: 'expiry', card_expired: 'expiry', cvv_invalid: 'cvv'
  };
  const SILENT_MS = 25000; /* the desk says something every ten seconds */
  const TOKEN_KEY = 'tonegate.token';
  const CURRENCY_KEY = 'tonegate.currency';

  const $ = id => document.getElementById(id);
  const state = {
    token: '', calls: new Map(), captures: new Map(), recent: [], currencies: { EUR: 2 },
    callId: '', lastEventId: '', isLive: false, service: { vault: true, media: true, store: true, draining: false },
    view: null, abort: null, closed: new Set(), orders: new Map(), notices: new Map(), paymentId: '', dead: new Map()
  };

  /* --- texts ------------------------------------------------------------------------------------------------------ */

  const language = (navigator.languages || [navigator.language]).map(l => l.slice(0, 2)).find(l => TEXTS[l]) || 'en';
  const texts = TEXTS[language];
  document.documentElement.lang = language;
  document.documentElement.dir = texts.dir;

  function t(key, values) {
    let text = texts[key] || TEXTS.en[key] || key;
    for (const name of Object.keys(values || {})) text = text.split('{' + name + '}').join(values[name]);
    return text;
  }

  function has(key) {
    return key in texts || key in TEXTS.en;
  }

  /* --- elements --------------------------------------------------------------------------------------------------- */

  function el(tag, options, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(options || {})) {
      if (key === 'text') node.textContent = value;
      else if (key === 'class') node.className = value;
      else if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? '' : value);
    }
    node.append(...children.filter(child => child));
    return node;
  }

  function icon(path, name) {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('viewBox', '0 0 24 24');
    svg.setAttribute('aria-hidden', 'true');
    svg.setAttribute('focusable', 'false');
    if (name) svg.setAttribute('class', name);
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    line.setAttribute('d', path);
    svg.append(line);
    return svg;
  }

  const ICONS = {
    shield: 'M12 3l8 3v6c0 5-3.5 8-8 9-4.5-1-8-4-8-9V6z M8.5 12l2.5 2.5 4.5-5',
    tick: 'M5 12.5l4.5 4.5L19 7',
    cross: 'M6 6l12 12M18 6L6 18',
    phone: 'M5 4h4l2 5-2.5 1.5a11 11 0 005 5L15 13l5 2v4a2 2 0 01-2 2A15 15 0 013 6a2 2 0 012-2z',
    good: 'M12 2.5a9.5 9.5 0 100 19 9.5 9.5 0 000-19z M7.5 12.5l3 3 6-6.5',
    bad: 'M12 2.5a9.5 9.5 0 100 19 9.5 9.5 0 000-19z M8.5 8.5l7 7 M15.5 8.5l-7 7',
    wait: 'M12 2.5a9.5 9.5 0 100 19 9.5 9.5 0 000-19z M12 7v5.5l3.5 2'
  };

  function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  let spoken = '';
  function speak(text) {
    if (text === spoken) return;
    spoken = text;
    setText($('speak'), text);
  }

  /* --- amounts: whole numbers of the minor unit, by strings only --------------------------------------------------- */

  function exponentOf(currency) {
    return currency in state.currencies ? state.currencies[currency] : 2;
  }

  function amountText(minor, currency) {
    const exponent = exponentOf(currency);
    const digits = String(minor).padStart(exponent + 1, '0');
    const whole = digits.slice(0, digits.length - exponent);
    return currency + ' ' + (exponent ? whole + '.' + digits.slice(-exponent) : whole);
  }

  /* Where the card is only kept there is no amount. */
  function moneyText(capture) {
    return capture.kind === 'tokenise' ? t('noAmount') : amountText(capture.amount, capture.currency);
  }

  function amountExample(exponent) {
    return exponent === 0 ? '1250' : '12.' + '345'.slice(0, exponent);
  }

  /* { minor } or { error } */
  function amountRead(typed, currency) {
    const exponent = exponentOf(currency);
    const text = typed.trim();
    if (!text) return { error: t('amountEmpty') };
    const match = /^(\d{1,9})(?:[.,](\d+))?$/.exec(text);
    if (!match) return { error: t('amountForm', { example: amountExample(exponent) }) };
    const fraction = match[2] || '';
    if (fraction.length > exponent)
      return { error: exponent ? t('amountDecimals', { currency, count: exponent }) : t('amountNone', { currency }) };
    const digits = (match[1] + fraction.padEnd(exponent, '0')).replace(/^0+/, '');
    if (!digits || digits.length > 8) return { error: t('amountRange', { max: amountText(99999999, currency) }) };
    return { minor: Number(digits) };
  }

  /* --- time ------------------------------------------------------------------------------------------------------- */

  function elapsed(since, until) {
    const seconds = Math.max(0, Math.floor(((until ? Date.parse(until) : Date.now()) - Date.parse(since)) / 1000));
    const two = n => String(n).padStart(2, '0');
    const minutes = Math.floor(seconds / 60);
    return minutes < 60 ? minutes + ':' + two(seconds % 60)
      : Math.floor(minutes / 60) + ':' + two(minutes % 60) + ':' + two(seconds % 60);
  }

  function clock(at) {
    return new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  }

  /* --- asking the desk -------------------------------------------------------------------------------------------- */

  class Refusal extends Error {
    constructor(status, code, wait) {
      super(code);
      this.status = status;
      this.code = code;
      this.wait = wait;
    }
  }

  async function ask(method, path, body, headers) {
    let reply;
    try {
      reply = await fetch(path, {
        method, cache: 'no-store', credentials: 'omit', body: body ? JSON.stringify(body) : undefined,
        headers: Object.assign({ Authorization: 'Bearer ' + state.token },
          body ? { 'Content-Type': 'application/json' } : {}, headers || {})
      });
    } catch (away) {
      throw new Refusal(0, 'away', 0);
    }
    const answer = await reply.json().catch(() => ({}));
    if (reply.ok) return answer;
    if (reply.status === 401) leave(t('gateWrong'));
    throw new Refusal(reply.status, (answer.error && answer.error.code) || String(reply.status),
      Number(reply.headers.get('Retry-After') || 1));
  }

  function refusalText(refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    if (refusal.code === 'away') return t('errorAway');
    return has('error_' + refusal.code) ? t('error_' + refusal.code) : t('errorOther', { code: refusal.code });
  }

  /* --- what the desk says ----------------------------------------------------------------------------------------- */

  const notices = { until: 0, good: '' };

  function takeService(service) {
    const before = state.service;
    state.service = service;
    if (service.vault && !before.vault) sayBack('backVault');
    else if (service.media && !before.media) sayBack('backMedia');
  }

  function sayBack(what) {
    notices.good = t('noticeBack', { what: t(what) });
    notices.until = Date.now() + 6000;
  }

  function takeCall(call) {
    const isMine = call.id === state.callId;
    if (call.state === 'ended' && !isMine) state.calls.delete(call.id);
    else state.calls.set(call.id, call);
  }

  function takeCapture(capture) {
    state.captures.set(capture.id, capture);
    if (ENDS.includes(capture.state)) loadRecentSoon();
  }

  /* The stream may be faster than the answer to the one who asked. */
  function takeOrder(order) {
    const known = state.orders.get(order.id);
    if (known && known.state !== 'open' && !order.paid) return;
    state.orders.set(order.id, order);
  }

  function takeNotice(notice) {
    state.notices.set(notice.capture + notice.kind + notice.received_at, notice);
  }

  function takeHook(hook) {
    if (hook.state === 'dead') state.dead.set(hook.id, hook);
    else state.dead.delete(hook.id);
    drawDead();
  }

  function loadDead() {
    ask('GET', '/v1/hooks').then(list => { state.dead = new Map(list.hooks.map(hook => [hook.id, hook])); drawDead(); }, () => {});
  }

  /* What became of a payment after its end, asked once per view; the stream tells the rest. */
  function loadAfter(id) {
    ask('GET', '/v1/captures/' + id + '/orders').then(list => { list.orders.forEach(takeOrder); draw(); }, () => {});
    ask('GET', '/v1/captures/' + id + '/notices').then(list => { list.notices.forEach(takeNotice); draw(); }, () => {});
  }

  const handlers = {
    snapshot: () => {
      const mine = state.calls.get(state.callId);
      state.calls.clear();
      if (mine) state.calls.set(mine.id, Object.assign({}, mine, { isStale: true }));
      for (const [id, capture] of state.captures)
        if (!ENDS.includes(capture.state)) state.captures.set(id, Object.assign({}, capture, { isStale: true }));
    },
    snapshot_end: () => {
      loadDead();
      const mine = state.calls.get(state.callId);
      if (mine && mine.isStale) state.calls.set(mine.id, Object.assign({}, mine, { state: 'ended', isStale: false }));
      for (const [id, capture] of state.captures) if (capture.isStale) lookUp(id);
      loadRecentSoon();
    },
    service: takeService,
    call: takeCall,
    capture: takeCapture,
    order: takeOrder,
    hook: takeHook,
    notice: takeNotice
  };

  /* One that ended while nobody listened. */
  function lookUp(id) {
    ask('GET', '/v1/captures/' + id).then(capture => { takeCapture(capture); draw(); }, () => {});
  }

  function takeEvent(text) {
    let name = 'message';
    let data = '';
    for (const line of text.split('\n')) {
      if (line.startsWith('event: ')) name = line.slice(7);
      else if (line.startsWith('data: ')) data += line.slice(6);
      else if (line.startsWith('id: ')) state.lastEventId = line.slice(4);
    }
    if (data && handlers[name]) handlers[name](JSON.parse(data));
  }

  async function readStream(reply, touch) {
    const reader = reply.body.getReader();
    const decoder = new TextDecoder();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      touch();
      text += decoder.decode(value, { stream: true });
      let end;
      let isChanged = false;
      while ((end = text.indexOf('\n\n')) >= 0) {
        takeEvent(text.slice(0, end));
        text = text.slice(end + 2);
        isChanged = true;
      }
      if (isChanged) draw();
    }
  }

  function setLive(isLive) {
    if (isLive && !state.isLive && state.wasLive) sayBack('backLine');
    state.wasLive = state.wasLive || isLive;
    state.isLive = isLive;
    draw();
  }

  async function listen() {
    const token = state.token;
    let wait = 250;
    while (state.token && state.token === token) {
      const abort = new AbortController();
      let watchdog = 0;
      const touch = () => { clearTimeout(watchdog); watchdog = setTimeout(() => abort.abort(), SILENT_MS); };
      state.abort = abort;
      touch();
      try {
        const headers = { Authorization: 'Bearer ' + token, Accept: 'text/event-stream' };
        if (state.lastEventId) headers['Last-Event-ID'] = state.lastEventId;
        const reply = await fetch('/v1/events', { headers, cache: 'no-store', credentials: 'omit', signal: abort.signal });
        if (reply.status === 401) { leave(t('gateWrong')); return; }
        if (reply.status === 429) { wait = 1000 * Number(reply.headers.get('Retry-After') || 2); throw new Error('wait'); }
        if (!reply.ok) throw new Error('refused');
        wait = 250;
        setLive(true);
        await readStream(reply, touch);
      } catch (ignored) { /* the line is down: told by its lamp, tried again below */ }
      clearTimeout(watchdog);
      if (state.token !== token) return;
      setLive(false);
      await new Promise(resume => setTimeout(resume, wait));
      wait = Math.min(wait * 2, 3000);
    }
  }

  let recentTimer = 0;
  function loadRecentSoon() {
    clearTimeout(recentTimer);
    recentTimer = setTimeout(async () => {
      try {
        state.recent = (await ask('GET', '/v1/captures?limit=8')).captures.filter(c => ENDS.concat('unknown').includes(c.state));
        drawRecent();
      } catch (later) { /* shown again with the next end */ }
    }, 150);
  }

  /* --- signing in and out ------------------------------------------------------------------------------------------ */

  async function enter(token) {
    state.token = token;
    try {
      state.currencies = await ask('GET', '/v1/currencies');
    } catch (refusal) {
      if (refusal.status !== 401)
        leave(refusal.status === 429 ? t('gateWait', { seconds: refusal.wait }) : t('gateAway'));
      return;
    }
    sessionStorage.setItem(TOKEN_KEY, token);
    $('gate').hidden = true;
    $('room').hidden = false;
    $('leave').hidden = false;
    listen();
    draw();
  }

  function leave(message) {
    state.token = '';
    state.wasLive = false;
    state.isLive = false;
    if (state.abort) state.abort.abort();
    sessionStorage.removeItem(TOKEN_KEY);
    state.calls.clear();
    state.captures.clear();
    state.orders.clear();
    state.notices.clear();
    state.dead.clear();
    state.callId = '';
    state.paymentId = '';
    state.view = null;
    $('work').replaceChildren();
    $('room').hidden = true;
    $('leave').hidden = true;
    $('gate').hidden = false;
    $('notice').hidden = true;
    setText($('line'), '');
    $('lamps').replaceChildren();
    setText($('gate-error'), message || '');
    $('token').value = '';
    $('token').focus();
  }

  /* --- the frame: lamps, notices, lists ------------------------------------------------------------------------------ */

  function drawLamps() {
    const gateways = state.service.gateways || [];
    const isResting = gateways.length > 0 && gateways.every(gateway => gateway.off || gateway.breaker === 'open');
    const lamps = [['lampVault', state.service.vault, 'lampDown'], ['lampMedia', state.service.media, 'lampDown'],
      ['lampGateway', state.service.gateway !== false && !isResting, state.service.gateway === false ? 'lampDown' : 'lampRests'],
      ['lampStore', state.service.store, 'lampFails']];
    const wanted = lamps.map(([name, isUp, down]) => t(name) + ': ' + t(isUp ? 'lampUp' : down)).join();
    if ($('lamps').dataset.drawn !== wanted) {
      $('lamps').dataset.drawn = wanted;
      $('lamps').replaceChildren(...lamps.map(([name, isUp, down]) =>
        el('li', { class: isUp ? '' : 'down', text: t(name) + ' ' + t(isUp ? 'lampUp' : down) })));
    }
    $('lamps').hidden = !state.isLive; /* they would tell of what was */
    setText($('line'), state.isLive ? t('lineLive') : t('lineLost'));
    $('line').className = state.isLive ? 'line' : 'line down';
  }

  function noticeNow() {
    const service = state.service;
    if (!state.isLive && state.wasLive) return ['noticeLine', false];
    if (!service.vault) return ['noticeVault', false];
    if (!service.media) return ['noticeMedia', false];
    if (!service.store) return ['noticeStore', false];
    if (service.draining) return ['noticeDraining', false];
    return null;
  }

  function drawNotice() {
    const now = noticeNow();
    const isGood = !now && Date.now() < notices.until;
    setText($('notice'), now ? t(now[0]) : isGood ? notices.good : '');
    $('notice').className = isGood ? 'notice good' : 'notice';
    $('notice').hidden = !now && !isGood;
  }

  function callTitle(call) {
    if (call.reference) return call.reference;
    return call.callee ? t('callNoReference', { callee: call.callee }) : t('callUnnamed');
  }

  function captureOf(callId) {
    let newest = null;
    for (const capture of state.captures.values())
      if (capture.call === callId && !state.closed.has(capture.id) &&
          (!newest || capture.created_at > newest.created_at)) newest = capture;
    return newest;
  }

  function callBadge(call) {
    const capture = captureOf(call.id);
    if (capture && capture.state === 'approved') return ['approved', t('badgePaid')];
    if (call.armed || (capture && capture.masked)) return ['masked', t('badgeMasked')];
    if (call.state !== 'answered') return ['', t(call.state === 'ended' ? 'callEnded' : 'callRinging')];
    return null;
  }

  /* Rows are kept and changed in place, so that focus stays where it is. */
  const rows = new Map();

  function drawRow(call) {
    let row = rows.get(call.id);
    if (!row) {
      row = { title: el('strong'), time: el('span', { class: 'time' }), sub: el('span', { class: 'sub' }), badge: el('span', { class: 'badge' }) };
      row.button = el('button', { type: 'button', onclick: () => choose(call.id) }, row.title, row.time, row.sub, row.badge);
      row.item = el('li', {}, row.button);
      rows.set(call.id, row);
    }
    const badge = callBadge(call);
    setText(row.title, callTitle(call));
    setText(row.time, elapsed(call.began_at, call.state === 'ended' ? call.updated_at : ''));
    setText(row.sub, call.callee && call.reference ? t('callTo', { callee: call.callee }) : '');
    row.badge.className = 'badge ' + (badge ? badge[0] : '');
    setText(row.badge, badge ? badge[1] : '');
    row.badge.hidden = !badge;
    if (call.id === state.callId) row.button.setAttribute('aria-current', 'true');
    else row.button.removeAttribute('aria-current');
    return row.item;
  }

  function drawCalls() {
    const filter = $('calls-filter').value.trim().toLowerCase();
    const calls = [...state.calls.values()].sort((a, b) => (a.began_at < b.began_at ? 1 : -1));
    const shown = calls.filter(call => !filter || callTitle(call).toLowerCase().includes(filter) || (call.callee || '').includes(filter));
    for (const id of rows.keys()) if (!state.calls.has(id)) rows.delete(id);
    const items = shown.slice(0, 100).map(drawRow);
    const list = $('calls');
    if (list.children.length !== items.length || items.some((item, i) => list.children[i] !== item)) {
      const focused = document.activeElement;
      list.replaceChildren(...items);
      if (focused && list.contains(focused)) focused.focus();
    }
    setText($('calls-count'), String(calls.length));
    $('calls-count').hidden = calls.length === 0;
    $('calls-none').hidden = calls.length > 0;
    $('calls-filter').hidden = calls.length < 8 && !filter;
  }

  function drawRecent() {
    $('recent-none').hidden = state.recent.length > 0;
    $('recent').replaceChildren(...state.recent.map(capture => el('li', {}, el('button', {
      type: 'button', 'aria-current': capture.id === state.paymentId ? 'true' : null, onclick: () => choosePayment(capture)
    },
      el('span', { class: 'money', text: moneyText(capture) }),
      el('span', { class: 'sub', text: clock(capture.updated_at) + (capture.reference ? ' · ' + capture.reference : '') }),
      el('span', { class: 'badge ' + capture.state, text: t('state_' + capture.state) })))));
  }

  function choose(callId) {
    const before = state.calls.get(state.callId);
    state.callId = callId;
    state.paymentId = '';
    drawRecent();
    if (before && before.state === 'ended' && before.id !== callId) state.calls.delete(before.id);
    draw();
    if (!$('work').contains(document.activeElement)) $('work').focus({ preventScroll: true });
  }

  /* What others could not be told: somebody decides. */
  async function decide(hook, what) {
    setText($('dead-error'), '');
    try {
      takeHook(await ask('POST', '/v1/hooks/' + hook.id + '/' + what));
    } catch (refusal) {
      setText($('dead-error'), refusalText(refusal));
    }
  }

  function drawDead() {
    $('dead').hidden = state.dead.size === 0;
    setText($('dead-count'), String(state.dead.size));
    $('dead-list').replaceChildren(...[...state.dead.values()].slice(0, 20).map(hook => {
      const what = t('hook_' + hook.kind);
      return el('li', {},
        el('strong', { text: what }), el('span', { class: 'sub', text: t('deadTo', { target: hook.target }) + ' · ' + clock(hook.created_at) + (hook.last_status ? ' · HTTP ' + hook.last_status : '') }),
        el('div', { class: 'buttons' },
          el('button', { type: 'button', text: t('deadRetry'), 'aria-label': t('deadRetry') + ': ' + what, onclick: () => decide(hook, 'retry') }),
          el('button', { type: 'button', text: t('deadDrop'), 'aria-label': t('deadDrop') + ': ' + what, onclick: () => decide(hook, 'drop') })));
    }));
  }

  function choosePayment(capture) {
    choose('');
    state.paymentId = capture.id;
    state.captures.set(capture.id, capture);
    drawRecent();
    draw();
    $('work').focus({ preventScroll: true });
  }

  /* --- views of the work area ---------------------------------------------------------------------------------------- */

  function idleView() {
    const text = el('p', { class: 'soft' });
    const node = el('div', { class: 'empty' }, icon(ICONS.phone), el('h1', { text: t('idleTitle') }), text);
    return { node, update: () => setText(text, t(state.calls.size ? 'idleText' : 'idleNone')) };
  }

  function facts(pairs) {
    return el('dl', { class: 'facts' }, ...pairs.map(([label, node, size]) =>
      el('div', { class: size || '' }, el('dt', { text: t(label) }), node)));
  }

  function newKey() {
    return [...crypto.getRandomValues(new Uint8Array(16))].map(b => String.fromCharCode(97 + (b >> 4), 97 + (b & 15))).join('');
  }

  /* The same key as long as the order is the same, so that a second click is not a second capture. */
  function opener() {
    let key = '';
    let order = '';
    return async (callId, kind, amount, currency) => {
      const money = kind === 'tokenise' ? {} : { amount, currency };
      const wanted = JSON.stringify([callId, kind, money]);
      if (wanted !== order) { order = wanted; key = newKey(); }
      try {
        takeCapture(await ask('POST', '/v1/captures', { call: callId, kind, ...money }, { 'Idempotency-Key': key }));
      } catch (refusal) {
        if (refusal.status) key = newKey(); /* it was answered: the next try is a new one */
        throw refusal;
      }
      key = newKey();
      draw();
    };
  }

  /* Asks for an order; the same key as long as it is the same order, so that a second click is not a second refund. */
  function orderer() {
    let key = '';
    let last = '';
    return async (path, body) => {
      const wanted = path + JSON.stringify(body);
      if (wanted !== last) { last = wanted; key = newKey(); }
      try {
        takeOrder(await ask('POST', path, body, { 'Idempotency-Key': key }));
      } catch (refusal) {
        if (refusal.status) last = ''; /* it was answered: the next try is a new one */
        throw refusal;
      }
      last = '';
      draw();
    };
  }

  function orderText(order) {
    const money = order.amount && order.currency ? amountText(order.amount, order.currency) : '';
    return t('order_' + order.kind) + (money ? ' · ' + money : '');
  }

  function orderRow(order) {
    const state_ = order.state === 'done' ? 'approved' : order.state === 'open' ? 'waiting' : order.state === 'unknown' ? 'unknown' : 'failed';
    const why = order.state === 'open' || order.reason === 'none' ? '' : t('reason_' + order.reason);
    return el('li', {},
      el('span', { class: 'what', text: orderText(order) }),
      el('span', { class: 'badge ' + state_, text: order.paid ? t('linkPaid') : t('orderState_' + order.state) }),
      el('span', { class: 'sub', text: [clock(order.updated_at), order.asked_by, order.result_ref, why].filter(Boolean).join(' · ') }),
      order.url ? el('dl', { class: 'rows' }, ...copyRow('linkUrl', order.url)) : null);
  }

  function noticeRow(notice) {
    const money = notice.amount && notice.currency ? ' · ' + amountText(notice.amount, notice.currency) : '';
    return el('li', {},
      el('span', { class: 'what', text: t('notice_' + notice.kind) + money }),
      el('span', { class: 'badge', text: notice.vendor }),
      el('span', { class: 'sub', text: clock(notice.received_at) }));
  }

  /* What may be asked for after this payment; the desk checks it all again. */
  function actionsOf(capture) {
    if (capture.state !== 'approved') return [];
    const after = [...state.orders.values()].filter(order => order.capture === capture.id && ['open', 'done', 'unknown'].includes(order.state));
    const has_ = kind => after.some(order => order.kind === kind);
    const sum = kind => after.filter(order => order.kind === kind).reduce((total, order) => total + order.amount, 0);
    const taken = capture.kind === 'authorise' ? sum('capture') : capture.kind === 'charge' ? capture.amount : 0;
    const actions = [];
    if (capture.kind === 'authorise' && !taken && !has_('void')) actions.push(['capture', capture.amount]);
    if (taken - sum('refund') > 0 && !has_('void')) actions.push(['refund', taken - sum('refund')]);
    if (capture.kind !== 'tokenise' && !has_('void') && !has_('refund') && !has_('capture')) actions.push(['void', 0]);
    if (capture.token) actions.push(['subscribe', 0]);
    return actions;
  }

  /* A small form for one action: what it does stands on its button. */
  function actionForm(capture, action, most, close) {
    const send = orderer();
    const error = el('p', { class: 'error', role: 'alert' });
    const amount = el('input', { id: 'after-amount', inputmode: 'decimal', autocomplete: 'off', maxlength: 12, value: amountText(most, capture.currency).split(' ')[1] });
    const plan = el('input', { id: 'after-plan', autocomplete: 'off', maxlength: 63, required: true });
    const customer = el('input', { id: 'after-customer', autocomplete: 'off', maxlength: 127 });
    const button = el('button', { class: action === 'void' || action === 'refund' ? 'danger' : 'primary', type: 'submit', text: t('do_' + action) });
    const hasAmount = action === 'refund' || action === 'capture';

    function bodyOf() {
      if (action === 'void') return {};
      if (action === 'subscribe') return Object.assign({ plan: plan.value.trim() }, customer.value.trim() ? { customer: customer.value.trim() } : {});
      const read = amountRead(amount.value, capture.currency);
      if (read.error) { setText(error, read.error); return null; }
      return { amount: read.minor };
    }

    async function submit(event) {
      event.preventDefault();
      const body = bodyOf();
      if (!body) return;
      button.disabled = true;
      try {
        await send('/v1/captures/' + capture.id + '/' + action, body);
        close();
      } catch (refusal) {
        setText(error, refusalText(refusal));
      }
      button.disabled = false;
    }

    return el('form', { class: 'after-form', autocomplete: 'off', novalidate: true, onsubmit: submit, oninput: () => setText(error, '') },
      el('p', { class: 'soft', text: t('ask_' + action, { amount: moneyText(capture) }) }),
      hasAmount ? el('div', {}, el('label', { for: 'after-amount', text: t('amount') + ' (' + capture.currency + ')' }), amount) : null,
      action === 'subscribe' ? el('div', {}, el('label', { for: 'after-plan', text: t('plan') }), plan) : null,
      action === 'subscribe' ? el('div', {}, el('label', { for: 'after-customer', text: t('customer') }), customer) : null,
      error, el('div', { class: 'actions' }, button, el('button', { type: 'button', text: t('back'), onclick: close })));
  }

  function afterPart(capture) {
    const list = el('ul', { class: 'orders' });
    const bar = el('div', { class: 'actions' });
    const place = el('div');
    const node = el('section', { class: 'card stack after', 'aria-label': t('afterTitle') }, el('h2', { text: t('afterTitle') }), list, bar, place);
    let drawn = '';
    const close = () => { place.replaceChildren(); drawn = ''; update(capture); };
    loadAfter(capture.id);

    function update(now) {
      const orders = [...state.orders.values()].filter(order => order.capture === now.id);
      const notices = [...state.notices.values()].filter(notice => notice.capture === now.id && notice.kind !== 'other');
      const actions = actionsOf(now);
      const wanted = JSON.stringify([orders.map(order => [order.id, order.state]), notices.length, actions, place.children.length]);
      node.hidden = !orders.length && !notices.length && !actions.length;
      if (wanted === drawn) return;
      drawn = wanted;
      const all = orders.map(order => [order.created_at, orderRow(order)]).concat(notices.map(notice => [notice.received_at, noticeRow(notice)]));
      list.replaceChildren(...all.sort((a, b) => (a[0] < b[0] ? 1 : -1)).map(([, row]) => row));
      list.hidden = !all.length;
      bar.hidden = place.children.length > 0;
      place.hidden = !bar.hidden;
      bar.replaceChildren(...actions.map(([action, most]) => el('button', {
        type: 'button', text: t('start_' + action), onclick: () => {
          place.replaceChildren(actionForm(now, action, most, close));
          drawn = '';
          update(now);
          (place.querySelector('input') || place.querySelector('button')).focus();
        }
      })));
    }
    return { node, update };
  }

  function startView(call) {
    const open = opener();
    const send = orderer();
    const time = el('dd');
    const error = el('p', { class: 'error', id: 'amount-error', role: 'alert' });
    const amount = el('input', { id: 'amount', inputmode: 'decimal', autocomplete: 'off', maxlength: 12, 'aria-describedby': 'amount-error' });
    const currency = el('select', { id: 'currency' }, ...Object.keys(state.currencies).map(code => el('option', { value: code, text: code })));
    currency.value = localStorage.getItem(CURRENCY_KEY) in state.currencies ? localStorage.getItem(CURRENCY_KEY) : 'EUR';
    const kind = el('select', { id: 'kind' }, ...KINDS.map(name => el('option', { value: name, text: t('kind_' + name) })));
    const button = el('button', { class: 'primary', type: 'submit', text: t('start') });
    const hint = () => { amount.placeholder = amountExample(exponentOf(currency.value)); };
    const clear = () => { setText(error, ''); amount.removeAttribute('aria-invalid'); };
    currency.addEventListener('change', () => { localStorage.setItem(CURRENCY_KEY, currency.value); hint(); clear(); });
    amount.addEventListener('input', clear);
    kind.addEventListener('change', () => { pair.hidden = kind.value === 'tokenise'; clear(); });
    hint();

    async function submit(event) {
      event.preventDefault();
      const read = kind.value === 'tokenise' ? {} : amountRead(amount.value, currency.value);
      if (read.error) {
        setText(error, read.error);
        amount.setAttribute('aria-invalid', 'true');
        amount.focus();
        return;
      }
      button.disabled = true;
      try {
        await open(call.id, kind.value, read.minor, currency.value);
      } catch (refusal) {
        setText(error, refusalText(refusal));
      }
      button.disabled = false;
    }

    /* The caller pays on a page of the provider's, without the telephone. */
    async function makeLink() {
      const read = amountRead(amount.value, currency.value);
      if (read.error) {
        setText(error, read.error);
        amount.focus();
        return;
      }
      link.disabled = true;
      try {
        await send('/v1/links', { amount: read.minor, currency: currency.value, call: call.id });
      } catch (refusal) {
        setText(error, refusalText(refusal));
      }
      link.disabled = false;
    }

    const link = el('button', { type: 'button', text: t('makeLink'), onclick: makeLink });
    const links = el('ul', { class: 'orders' });
    let linksDrawn = '';
    const pair = el('div', { class: 'pair' },
      el('div', {}, el('label', { for: 'amount', text: t('amount') }), amount),
      el('div', {}, el('label', { for: 'currency', text: t('currency') }), currency));
    const form = el('form', { class: 'card start', autocomplete: 'off', onsubmit: submit, novalidate: true },
      el('div', {}, el('h2', { class: 'large', text: t('startTitle') }), el('p', { class: 'soft', text: t('startText') })),
      el('div', {}, el('label', { for: 'kind', text: t('kind') }), kind), pair,
      error, el('div', { class: 'actions' }, button, link), links);
    const title = el('h1');
    const node = el('div', { class: 'stack' },
      el('div', { class: 'head' }, title, facts([['callee', el('dd', { text: call.callee || '–' })], ['elapsed', time]])), form);
    return {
      node,
      update: () => {
        const now = state.calls.get(call.id) || call;
        const canStart = now.state === 'answered' && state.service.vault && state.service.media && state.isLive;
        setText(title, callTitle(now));
        setText(time, elapsed(now.began_at, now.state === 'ended' ? now.updated_at : ''));
        button.disabled = !canStart;
        link.disabled = !state.isLive;
        link.hidden = kind.value === 'tokenise';
        const made = [...state.orders.values()].filter(order => order.kind === 'link' && order.call === call.id);
        const wanted = JSON.stringify(made.map(order => [order.id, order.state, order.paid]));
        if (wanted !== linksDrawn) links.replaceChildren(...made.map(orderRow));
        linksDrawn = wanted;
        links.hidden = !made.length;
        if (now.state !== 'answered') setText(error, t(now.state === 'ended' ? 'startEnded' : 'startRinging'));
        else if (error.textContent === t('startRinging')) setText(error, '');
      }
    };
  }

  /* How the keys of a field stand together. */
  function groupsOf(name, field, brand) {
    if (name === 'expiry') return [2, 2];
    if (name === 'cvv') return [field.max || (brand === 'amex' ? 4 : 3)];
    const length = Math.max(field.max || 16, field.keys);
    if (length === 15 && brand === 'amex') return [4, 6, 5];
    if (length === 14) return [4, 6, 4];
    const groups = [];
    for (let left = length; left > 0; left -= 4) groups.push(Math.min(4, left));
    return groups;
  }

  function drawDots(part, name, field, brand) {
    const groups = groupsOf(name, field, brand);
    const drawn = groups.join('-');
    const isNew = part.drawn !== drawn;
    if (isNew) {
      part.drawn = drawn;
      part.dots.replaceChildren();
      groups.forEach((size, i) => {
        if (i && name === 'expiry') part.dots.append(el('span', { class: 'slash', text: '/' }));
        part.dots.append(el('span', { class: 'group' }, ...Array.from({ length: size }, () => el('span', { class: 'dot' }))));
      });
    }
    part.dots.querySelectorAll('.dot').forEach((dot, i) => {
      const isOn = i < field.keys;
      dot.classList.toggle('fresh', isOn && !isNew && !dot.classList.contains('on'));
      dot.classList.toggle('on', isOn);
    });
  }

  function fieldHint(name, field, capture) {
    const isWrongHere = FIELD_OF_PROBLEM[capture.problem] === name;
    if (isWrongHere && !field.valid) return t('problem_' + capture.problem);
    if (field.valid) return t('valid');
    if (field.complete) return t('invalid');
    if (field.keys) return field.max ? t('keysOf', { keys: field.keys, max: field.max }) : field.keys === 1 ? t('keyOne') : t('keys', { keys: field.keys });
    if (capture.selected === name) return t('ask' + name[0].toUpperCase() + name.slice(1));
    return t('waiting');
  }

  function fieldLabel(name) {
    return t('field' + name[0].toUpperCase() + name.slice(1));
  }

  function fieldPart(name, capture, act) {
    const part = {
      now: el('span', { class: 'now', text: t('keying') }), what: el('span', { class: 'what' }), dots: el('div', { class: 'dots', 'aria-hidden': 'true' }),
      verdict: el('span', { class: 'verdict' }), hint: el('span'), chip: name === 'number' ? el('span', { class: 'chip' }) : null
    };
    const field = fieldLabel(name);
    part.select = el('button', { type: 'button', text: t('select'), 'aria-label': t('selectLabel', { field }), onclick: () => act('fields/' + name + '/select') });
    part.reset = el('button', { type: 'button', text: t('reset'), 'aria-label': t('resetLabel', { field }), onclick: () => act('fields/' + name + '/reset') });
    part.node = el('section', { class: 'field', 'aria-label': field },
      el('div', { class: 'label' }, el('h2', { text: field }), el('p', { class: 'under' }, part.chip, part.what, part.now)),
      part.dots, el('p', { class: 'hint' }, part.verdict, part.hint), el('div', { class: 'buttons' }, part.select, part.reset));
    return part;
  }

  function updateField(part, name, capture, canAct) {
    const field = capture.fields[name];
    const isSelected = capture.selected === name;
    const isWrong = !field.valid && (field.complete || FIELD_OF_PROBLEM[capture.problem] === name);
    const isFour = name === 'cvv' && (field.max === 4 || capture.brand === 'amex');
    part.node.className = 'field' + (isSelected ? ' selected' : '') + (field.valid ? ' good' : '') + (isWrong ? ' wrong' : '');
    part.now.hidden = !isSelected;
    setText(part.what, isSelected ? '' : t('fieldHint' + name[0].toUpperCase() + name.slice(1) + (isFour ? 'Four' : '')));
    part.what.hidden = isSelected || (name === 'number' && capture.brand !== 'unknown');
    if (part.chip) {
      setText(part.chip, t('brand_' + capture.brand));
      part.chip.hidden = capture.brand === 'unknown';
    }
    drawDots(part, name, field, capture.brand);
    const mark = field.valid ? 'tick' : isWrong && field.keys ? 'cross' : '';
    if (part.mark !== mark) {
      part.mark = mark;
      part.verdict.replaceChildren(...(mark ? [icon(ICONS[mark], mark)] : []));
    }
    const hint = fieldHint(name, field, capture);
    if (part.hint.textContent !== hint && (field.valid || isWrong)) speak(t('sayField', { field: fieldLabel(name), text: hint }));
    setText(part.hint, hint);
    part.select.disabled = !canAct || isSelected;
    part.reset.disabled = !canAct || (!field.keys && !isWrong);
  }

  function maskOf(capture) {
    if (capture.muted) return 'Muted';
    if (capture.state === 'lost' || capture.state === 'unknown' || ENDS.includes(capture.state)) return capture.masked ? 'Held' : 'Off';
    if (capture.masked) return 'On';
    return capture.state === 'arming' ? 'Wait' : ENDS.includes(capture.state) ? 'Off' : 'Wait';
  }

  function maskPart() {
    const strong = el('strong');
    const text = el('span');
    const node = el('div', { class: 'mask' }, icon(ICONS.shield), el('p', {}, strong, ' ', text));
    return {
      node,
      update: capture => {
        const kind = maskOf(capture);
        node.className = 'mask ' + kind.toLowerCase();
        setText(strong, t('mask' + kind) + '.');
        setText(text, t('mask' + kind + 'Text'));
      }
    };
  }

  /* The text's name for this kind of capture; a charge has the plain one. */
  function ofKind(name, capture) {
    return capture.kind === 'charge' ? name : name + '_' + capture.kind;
  }

  function captureHead(capture, titleText) {
    const time = el('dd');
    const attempt = el('dd');
    const title = el('h1', {}, el('small', { text: capture.reference || (capture.callee ? t('callNoReference', { callee: capture.callee }) : '') }), el('span'));
    const attemptFact = el('div', {}, el('dt', { text: t('attempt') }), attempt);
    const list = facts([['amountHead', el('dd', { text: moneyText(capture) }), 'big'], ['elapsed', time]]);
    list.append(attemptFact);
    return {
      node: el('div', { class: 'head' }, title, list),
      update: now => {
        setText(title.lastChild, titleText(now));
        setText(time, elapsed(now.created_at, ENDS.includes(now.state) ? now.updated_at : ''));
        attemptFact.hidden = now.attempts_max < 2 || now.attempt < 2;
        setText(attempt, t('attemptOf', { attempt: now.attempt, max: now.attempts_max }));
      }
    };
  }

  function actor(capture, error) {
    return async what => {
      setText(error, '');
      try {
        await ask('POST', '/v1/captures/' + capture.id + '/' + what);
      } catch (refusal) {
        setText(error, refusalText(refusal));
      }
    };
  }

  function problemText(capture) {
    if (capture.problem === 'none') return '';
    if (capture.advice && capture.advice !== 'none') return t('advice_' + capture.advice);
    const reason = capture.reason !== 'none' ? ' ' + t('reason_' + capture.reason) : '';
    return t('problem_' + capture.problem) + reason;
  }

  function keyingView(capture) {
    const error = el('p', { class: 'error', role: 'alert' });
    const act = actor(capture, error);
    const head = captureHead(capture, now => t(now.state === 'arming' ? 'stateArming' : now.state === 'ready' ? 'stateReady' : 'stateCollecting'));
    const mask = maskPart();
    const warning = el('p', { class: 'warning' });
    const parts = FIELDS.map(name => [name, fieldPart(name, capture, act)]);
    const submit = el('button', { class: 'primary', type: 'button', text: t(ofKind('submit', capture), { amount: moneyText(capture) }), onclick: pay });
    const cancel = el('button', { class: 'danger', type: 'button', text: t('cancel'), onclick: () => act('cancel') });
    const wait = el('span', { class: 'soft', text: t('notReady') });
    let isPaying = false;

    async function pay() {
      isPaying = true;
      submit.disabled = true;
      await act('submit');
      setTimeout(() => { isPaying = false; draw(); }, 1500);
    }

    const node = el('div', { class: 'stack' }, head.node, mask.node, warning,
      el('div', { class: 'card fields' }, ...parts.map(([, part]) => part.node)),
      el('div', { class: 'actions' }, submit, cancel, wait, error));
    return {
      node,
      update: now => {
        const canAct = state.isLive && state.service.vault && now.state !== 'arming';
        const isFieldProblem = FIELD_OF_PROBLEM[now.problem];
        head.update(now);
        mask.update(now);
        setText(warning, now.problem !== 'none' && !isFieldProblem ? problemText(now) + (now.problem === 'declined' ? ' ' + t('attemptsLeft') : '') : '');
        warning.className = now.problem === 'declined' ? 'warning bad' : 'warning';
        warning.hidden = !warning.textContent;
        for (const [name, part] of parts) updateField(part, name, now, canAct);
        submit.disabled = !canAct || isPaying || now.state !== 'ready';
        cancel.disabled = !state.isLive || !state.service.vault;
        wait.hidden = now.state === 'ready';
      }
    };
  }

  function workingView(capture) {
    const head = captureHead(capture, () => t('stateWorking'));
    const mask = maskPart();
    const names = ['stepRecord', 'stepToken', 'stepOrder', 'stepConfirm', 'stepVerify'];
    const items = names.map(name => el('li', { text: t(name) }));
    const error = el('p', { class: 'error', role: 'alert' });
    const act = actor(capture, error);
    const cancel = el('button', { class: 'danger', type: 'button', text: t('cancel'), onclick: () => act('cancel') });
    const patience = el('p', { class: 'soft', text: t('workingText') });
    const node = el('div', { class: 'stack' }, head.node, mask.node,
      el('div', { class: 'card stack' }, el('ol', { class: 'steps' }, ...items), patience),
      el('div', { class: 'actions' }, cancel, error));
    return {
      node,
      update: now => {
        const step = STEP_OF[now.state];
        head.update(now);
        setText(patience, t(now.slow ? 'workingSlow' : 'workingText'));
        mask.update(now);
        items.forEach((item, i) => {
          item.className = i < step ? 'done' : i === step ? 'now' : '';
          if (i === step) item.setAttribute('aria-current', 'step');
          else item.removeAttribute('aria-current');
        });
        cancel.hidden = step > 2 || !state.service.vault;
      }
    };
  }

  function copyRow(label, value) {
    const button = el('button', { type: 'button', text: t('copy'), 'aria-label': t('copy') + ': ' + t(label) });
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(value);
        button.textContent = t('copied');
        speak(t('copied'));
      } catch (refused) {
        const range = document.createRange();
        range.selectNodeContents(code);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
      }
      setTimeout(() => { button.textContent = t('copy'); }, 2000);
    });
    const code = el('code', { text: value });
    return [el('dt', { text: t(label) }), el('dd', {}, code), el('dd', {}, button)];
  }

  const RESULT_ICON = { approved: 'good', declined: 'bad', failed: 'bad', cancelled: 'bad', unknown: 'wait', lost: 'wait' };

  function resultView(capture) {
    const kind = capture.state;
    const isOpen = kind === 'lost' || kind === 'unknown';
    const error = el('p', { class: 'error', role: 'alert' });
    const act = actor(capture, error);
    const open = opener();
    const head = captureHead(capture, () => t(kind === 'lost' ? 'lost' : kind));
    const mask = maskPart();
    const rowsOf = [];
    if (capture.token) rowsOf.push(...copyRow('token', capture.token));
    if (capture.payment_ref) rowsOf.push(...copyRow('paymentRef', capture.payment_ref));
    const why = ['approved', 'lost', 'unknown'].includes(kind) ? '' : problemText(capture);
    const card = el('div', { class: 'card result ' + kind }, icon(ICONS[RESULT_ICON[kind]]),
      el('div', {}, el('p', { text: t(kind === 'approved' ? ofKind('approvedText', capture) : kind + 'Text', { amount: moneyText(capture) }) }), why ? el('p', { class: 'soft', text: why }) : null),
      rowsOf.length ? el('dl', { class: 'rows' }, ...rowsOf) : null);
    const buttons = [];
    if (kind === 'lost') {
      buttons.push(el('button', { class: 'primary', type: 'button', text: t('again'), onclick: () =>
        open(capture.call, capture.kind, capture.amount, capture.currency).catch(refusal => setText(error, refusalText(refusal))) }));
    }
    const letGo = el('button', { class: 'danger', type: 'button', text: t(kind === 'unknown' ? 'letGo' : 'unmask'), onclick: () => act('cancel') });
    buttons.push(letGo);
    if (!isOpen) buttons.push(el('button', { class: 'primary', type: 'button', text: t(kind === 'approved' ? 'done' : 'newPayment'), onclick: () => {
      state.closed.add(capture.id);
      const call = state.calls.get(capture.call);
      if (kind === 'approved' || !call || call.state === 'ended') choose('');
      else draw();
    } }));
    const after = afterPart(capture);
    const node = el('div', { class: 'stack' }, head.node, mask.node, card, el('div', { class: 'actions' }, ...buttons, error), after.node);
    return { node, update: now => { head.update(now); mask.update(now); after.update(now); letGo.hidden = kind !== 'lost' && !now.masked; mask.node.hidden = kind === 'approved' && !now.masked; } };
  }

  function viewOf(call, capture) {
    if (!capture) return call ? ['start:' + call.id, () => startView(call)] : ['idle', idleView];
    if (['arming', 'collecting', 'ready'].includes(capture.state)) return ['keying:' + capture.id, () => keyingView(capture)];
    if (capture.state in STEP_OF) return ['working:' + capture.id, () => workingView(capture)];
    return ['result:' + capture.id + capture.state + capture.token, () => resultView(capture)];
  }

  function announce(capture) {
    if (capture.muted && !ENDS.includes(capture.state)) {
      speak(t('maskMuted') + '. ' + t('maskMutedText'));
      return;
    }
    const title = { approved: 'approved', declined: 'declined', cancelled: 'cancelled', failed: 'failed', unknown: 'unknown', lost: 'lost', ready: 'stateReady', collecting: 'maskOn' }[capture.state];
    if (title) speak(t('sayState', { text: t(title) }));
  }

  function drawWork() {
    const call = state.calls.get(state.callId);
    const capture = state.callId ? captureOf(state.callId) : state.captures.get(state.paymentId) || null;
    const [key, make] = viewOf(call, capture);
    if (!state.view || state.view.key !== key) {
      const hadFocus = state.view && $('work').contains(document.activeElement);
      state.view = Object.assign(make(), { key });
      $('work').replaceChildren(state.view.node);
      if (hadFocus) $('work').focus({ preventScroll: true });
      if (key.startsWith('start:')) $('amount').focus({ preventScroll: true });
    }
    state.view.update(capture);
    if (capture && state.said !== capture.id + capture.state + capture.muted) {
      state.said = capture.id + capture.state + capture.muted;
      announce(capture);
    }
  }

  function draw() {
    if (!state.token || $('room').hidden) return;
    drawLamps();
    drawNotice();
    drawCalls();
    drawWork();
  }

  /* --- begin --------------------------------------------------------------------------------------------------------- */

  for (const node of document.querySelectorAll('[data-text]')) node.textContent = t(node.dataset.text);
  $('calls-filter').setAttribute('aria-label', t('callsFilter'));
  $('calls-filter').placeholder = t('callsFilter');
  $('calls-filter').addEventListener('input', draw);
  $('leave').addEventListener('click', () => leave(''));
  $('gate-form').addEventListener('submit', event => {
    event.preventDefault();
    setText($('gate-error'), '');
    enter($('token').value.trim());
  });
  setInterval(draw, 1000);
  const kept = sessionStorage.getItem(TOKEN_KEY);
  if (kept) enter(kept);
  else leave('');
})();
