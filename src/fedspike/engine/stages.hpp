// Convolutions, their neurons and pools, one sample at a time: step by step through all of them, and to learn back,
// so that what one leaves for the next stays in the cache.
#pragma once
#include "filters.hpp"
#include "row_neurons.hpp"

namespace fedspike {
namespace {

// What one sample needs on its way through the stages.
struct Stack {
    struct Room {
        std::vector<uint64_t> maps;   // [step][plane][channel][word]: the events that enter
        Floats grids;                 // [step]: currents, then margins
        Floats u, more;               // what neurons keep, of one step; of all where they learn constants
        Floats delta, other;          // dL/dI, and what else comes back to neurons
        Floats into, row;             // dL/dS behind the pool, [position][channel]; and of a row before it
        Floats values, constant;      // what enters at every step alike; its currents, then dL/d of these
        Floats spread;                // what enters a depthwise stage; see depthwise.hpp
        std::vector<uint64_t> fired;    // [position][word of channels], of one step
        std::vector<uint64_t> counted;  // [place behind the pool][plane], of one word of channels
        Positions at;
        int64_t planes = 1;  // of the maps
        float share = 1;     // what an event of plane 0 counts for

        explicit Room(const Stage &s) : at(s) {}
    };
    const Stages &stages;
    Neuron neuron;
    int64_t steps;
    bool learns;
    const float *step_weights;
    std::vector<Room> rooms;

    // What entered and left, of one sample: [stage].
    std::vector<int64_t> entered, met, left;
    int64_t behind = 0;  // events behind the last pool

    Stack(const Stages &stages, Neuron neuron, int64_t steps, bool learns, bool direct, const float *step_weights)
        : stages(stages), neuron(neuron), steps(steps), learns(learns), step_weights(step_weights),
          entered(stages.size()), met(stages.size()), left(stages.size()) {
        for (size_t l = 0; l < stages.size(); ++l) {
            const Stage &s = stages[l];
            Room &room = rooms.emplace_back(s);
            const int64_t grid = grid_of(s), kept = s.constants && learns ? steps : 1;
            if (l) room.planes = stages[l - 1].planes();
            if (l) room.share = stages[l - 1].share();
            room.maps.resize((l || !direct ? steps : 1) * room.planes * s.channels_in * s.words());
            room.values.resize(!l && direct ? s.channels_in * s.apart() : 0);
            room.spread.resize(spread_size(s));
            room.grids.resize(steps * grid);
            room.u.resize(kept * grid);
            room.more.resize(neuron.kind == Neuron::lif ? 0 : kept * grid);
            room.delta.resize(learns ? grid : 0);
            room.other.resize(learns && neuron.kind != Neuron::lif ? grid : 0);
            room.into.resize(learns ? whole_vectors(s.channels) * s.places_after() : 0);
            room.row.resize(s.out_width() * CHANNEL_VECTORS * LANES);
            room.constant.resize(!l && direct ? grid : 0);
            room.fired.resize(s.out_height() * s.out_width() * channel_words(s));
            room.counted.resize(s.places_after() * s.planes());
        }
    }

    static int64_t channel_words(const Stage &s) { return (s.channels + 63) / 64; }

    uint64_t *map(size_t l, int64_t t, int64_t plane, int64_t channel) {
        const Stage &s = stages[l];
        return &rooms[l].maps[((t * rooms[l].planes + plane) * s.channels_in + channel) * s.words()];
    }

    // What an event of plane 0 counts for.
    float share(size_t l, int64_t t) const { return l || !step_weights ? rooms[l].share : step_weights[t]; }

    // From trains[neuron][word] of the code.
    void enter(const uint64_t *trains, int64_t words) {
        clear_maps();
        const int64_t step = rooms[0].planes * stages[0].channels_in * stages[0].words();
        for_inputs(stages[0], [&](int64_t input, int64_t channel, int64_t q) {
            uint64_t *to = map(0, 0, 0, channel) + q / 64;
            const uint64_t bit = 1ull << q % 64;
            int64_t events = 0;
            for (int64_t word = 0; word < words; ++word) {
                const uint64_t train = trains[input * words + word];
                events += __builtin_popcountll(train);
                for_events(&train, 1, [&](int64_t t) { to[(64 * word + t) * step] |= bit; });
            }
            entered[0] += events;
            met[0] += events * rooms[0].at.fan_out[q];
        });
    }

    // Pixels as they are; their currents.
    void enter(const float *image, const Filters &filters) {
        const Stage &s = stages[0];
        Room &room = rooms[0];
        clear_maps();
        for_inputs(stages[0], [&](int64_t input, int64_t channel, int64_t q) {
            room.values[channel * s.apart() + s.lead() + q] = image[input];
            if (image[input] == 0) return;
            map(0, 0, 0, channel)[q / 64] |= 1ull << q % 64;
            ++entered[0];
            met[0] += rooms[0].at.fan_out[q];
        });
        value_currents(filters, room.at, map(0, 0, 0, 0), entered[0], room.values.data(), room.spread,
                       room.constant.data());
    }

    void clear_maps() {
        for (Room &room : rooms) std::fill(room.maps.begin(), room.maps.end(), 0);
        for (auto *counts : {&entered, &met, &left}) std::fill(counts->begin(), counts->end(), 0);
        behind = 0;
    }

    // Through all steps; behind the last pool the spikes are trains[plane][neuron][word].
    void forward(const std::vector<Filters> &filters, uint64_t *trains) {
        for (int64_t t = 0; t < steps; ++t)
            for (size_t l = 0; l < stages.size(); ++l) {
                currents(l, t, filters[l]);
                fire(l, t, filters[l], trains);
            }
    }

    // A step of a stage's neurons, and their spikes through the pool.
    void fire(size_t l, int64_t t, const Filters &filters, uint64_t *trains) {
        with_kind(neuron, [&](auto KIND, auto RESET) {
            if (filters.constants.empty())
                fire<KIND, RESET, false>(l, t, filters);
            else
                fire<KIND, RESET, true>(l, t, filters);
        });
        pool(l, t, trains);
    }

    // Row y of a panel that begins at channel `first`.
    NeuronRow row_of(size_t l, int64_t t, const Filters &filters, int V, int64_t first, int64_t y) {
        const Stage &s = stages[l];
        Room &room = rooms[l];
        const int64_t grid = grid_of(s), at = first * s.positions() + s.row(y) * (V * LANES);
        const int64_t kept = (int64_t)room.u.size() > grid ? grid : 0;  // from step to step
        float *now = &room.grids[t * grid + at], *u = &room.u[t * kept + at];
        float *more = room.more.empty() ? nullptr : &room.more[t * kept + at];
        NeuronRow row{s.out_width(), s.stride * V * LANES, grid, nullptr, now, u, more, nullptr, nullptr, nullptr};
        if (!filters.constants.empty()) row.constants = &filters.constants[at];
        if (t) row.before = now - grid, row.u_before = u - kept, row.more_before = more ? more - kept : nullptr;
        return row;
    }

    void currents(size_t l, int64_t t, const Filters &filters) {
        Room &room = rooms[l];
        float *grid = &room.grids[t * grid_of(stages[l])];
        if (room.constant.empty())
            event_currents(filters, room.at, map(l, t, 0, 0), room.planes, share(l, t), room.spread, grid);
        else
            std::copy(room.constant.begin(), room.constant.end(), grid);
    }

    template <Neuron::Kind KIND, Reset RESET, bool LEARNED>
    void fire(size_t l, int64_t t, const Filters &filters) {
        const Stage &s = stages[l];
        Room &room = rooms[l];
        const int64_t words = channel_words(s);
        std::fill(room.fired.begin(), room.fired.end(), 0);
        for_channels(s.channels, [&](auto V, int64_t first, int64_t real) {
            for (int64_t y = 0; y < s.out_height(); ++y)
                left[l] += fire_row<V, KIND, RESET, LEARNED>(neuron, row_of(l, t, filters, V, first, y), ~0u >> (32 - real),
                                                             first % 64, &room.fired[y * s.out_width() * words + first / 64],
                                                             words);
        });
    }

    // The spikes of a step through the pool, to the maps of the next stage or, behind the last, to trains.
    void pool(size_t l, int64_t t, uint64_t *trains) {
        const Stage &s = stages[l];
        const int64_t words = channel_words(s), columns = s.columns_after(), rows = s.rows_after();
        const int64_t planes = s.planes(), down = s.window * s.out_width() * words, along = s.window * words;
        const bool last = l + 1 == stages.size();
        const int64_t columns_next = last ? 0 : stages[l + 1].columns();
        const int32_t *fan_out = last ? nullptr : rooms[l + 1].at.fan_out.data();
        for (int64_t word = 0; word < words; ++word) {
            uint64_t *counted = rooms[l].counted.data();
            const uint64_t *fired = &rooms[l].fired[word];
            int64_t events = 0, synapses = 0;
            for (int64_t y = 0; y < rows; ++y, fired += down)
                for (int64_t x = 0; x < columns; ++x, counted += planes) {
                    const uint64_t any = count(s, planes, fired + x * along, words, counted);
                    events += __builtin_popcountll(any);
                    if (!last) synapses += __builtin_popcountll(any) * fan_out[y * columns_next + x];
                }
            if (last) {
                behind += events;
                to_trains(word, t, trains);
            } else {
                entered[l + 1] += events;
                met[l + 1] += synapses;
                to_maps(l, word, t);
            }
        }
    }

    // The spikes of 64 channels in a window, as planes of their binary digits; returns those that had any.
    static inline uint64_t count(const Stage &s, int64_t planes, const uint64_t *fired, int64_t words, uint64_t *counted) {
        if (s.window == 1) return counted[0] = fired[0];
        const int64_t down = s.out_width() * words;
        if (s.window == 2 && !s.maximum) {
            const uint64_t a = fired[0], b = fired[words], c = fired[down], d = fired[down + words];
            const uint64_t above = a ^ b, below = c ^ d, pair = a & b, other = c & d, both = above & below;
            counted[0] = above ^ below;
            counted[1] = pair ^ other ^ both;
            counted[2] = pair & other;
            return a | b | c | d;
        }
        uint64_t any = 0;
        std::fill_n(counted, planes, 0);
        for (int64_t i = 0; i < s.window; ++i)
            for (int64_t j = 0; j < s.window; ++j) {
                uint64_t one = fired[i * down + j * words];
                any |= one;
                for (int64_t n = 0; !s.maximum && n < planes; ++n) {
                    const uint64_t both = counted[n] & one;
                    counted[n] ^= one;
                    one = both;
                }
            }
        if (s.maximum) counted[0] = any;
        return any;
    }

    void to_trains(int64_t word, int64_t t, uint64_t *trains) const {
        const Stage &s = stages.back();
        const int64_t words = (steps + 63) / 64, planes = s.planes(), places = s.places_after(), outputs = s.outputs();
        const uint64_t bit = 1ull << t % 64, *counted = rooms.back().counted.data();
        uint64_t *to = trains + 64 * word * places * words + t / 64;
        for (int64_t place = 0; place < places; ++place)
            for (int64_t n = 0; n < planes; ++n)
                for_events(counted++, 1, [&](int64_t channel) {
                    to[(n * outputs + channel * places + place) * words] |= bit;
                });
    }

    // From a word of channels at each place to a word of places in each channel.
    void to_maps(size_t l, int64_t word, int64_t t) {
        const Stage &s = stages[l], &next = stages[l + 1];
        const int64_t planes = s.planes(), words = next.words();
        const int64_t channels = std::min<int64_t>(64, s.channels - 64 * word);
        const uint64_t *counted = rooms[l].counted.data();
        for (int64_t n = 0; n < planes; ++n)
            for (int64_t part = 0; part < words; ++part) {
                uint64_t square[64], any = 0;
                const int32_t *places = &rooms[l + 1].at.places[64 * part];
                for (int64_t i = 0; i < 64; ++i) {
                    square[i] = places[i] < 0 ? 0 : counted[places[i] * planes + n];
                    any |= square[i];
                }
                if (!any) continue;
                transpose(square);
                uint64_t *to = map(l + 1, t, n, 64 * word) + part;
                for (int64_t c = 0; c < channels; ++c) to[c * words] = square[c];
            }
    }

    // From dL/dS[step][neuron] behind the last pool, in rows of `width`, to the gradients of all stages.
    void back(const std::vector<Filters> &filters, const float *into, int64_t width, std::vector<FilterGradient> &sums) {
        for (size_t l = 0; l < stages.size(); ++l) {
            sums[l].clear();
            rest(l);
        }
        for (int64_t t = steps - 1; t >= 0; --t)
            for (size_t l = stages.size(); l-- > 0;) {
                if (l + 1 == stages.size())
                    turn(stages[l], into + t * width, rooms[l].into.data());
                else
                    through_filters(filters[l + 1], rooms[l + 1].delta.data(), rooms[l].into.data());
                unfire(l, t, filters[l], sums[l]);
                weigh(l, t, rooms[l].delta.data(), sums[l]);
            }
    }

    // Behind the last step nothing comes back.
    void rest(size_t l) {
        Room &room = rooms[l];
        for (Floats *grid : {&room.delta, &room.other}) std::fill(grid->begin(), grid->end(), 0.0f);
    }

    void unfire(size_t l, int64_t t, const Filters &filters, FilterGradient &sum) {
        const Stage &s = stages[l];
        Room &room = rooms[l];
        for_channels(s.channels, [&](auto V, int64_t first, int64_t) {
            for (int64_t y = 0; y < s.out_height(); ++y) {
                const int64_t at = first * s.positions() + s.row(y) * (V * LANES);
                const NeuronRow row = row_of(l, t, filters, V, first, y);
                float *delta = &room.delta[at], *other = room.other.empty() ? nullptr : &room.other[at];
                float *bias = &sum.bias[first];
                spread<V>(s, room, first, y, row.now);
                if (row.constants)
                    with_kind(neuron, [&](auto KIND, auto RESET) {
                        unfire_row<V, KIND, RESET, false, true>(neuron, row, room.row.data(), delta, other, bias,
                                                                &sum.constants[at]);
                    });
                else
                    with_slope(neuron, [&](auto KIND, auto RESET, auto ATAN) {
                        unfire_row<V, KIND, RESET, ATAN, false>(neuron, row, room.row.data(), delta, other, bias, nullptr);
                    });
            }
        });
    }

    // A row of dL/dS from that behind the pool: each of a window has a share; 0 where a row or column fills none.
    template <int V>
    static void spread(const Stage &s, Room &room, int64_t first, int64_t y, const float *margins) {
        const int64_t row = y / s.window, columns = row < s.rows_after() ? s.columns_after() : 0, window = s.window;
        const float *from = &room.into[first * s.places_after() + row * s.columns_after() * (V * LANES)], share = s.share();
        float *to = room.row.data();
        for (int64_t place = 0; place < columns; ++place, from += V * LANES) {
            Vec one[V];
            for (int v = 0; v < V; ++v) one[v] = share * load(from + v * LANES);
            for (int64_t j = 0; j < window; ++j, to += V * LANES)
                for (int v = 0; v < V; ++v) store(to + v * LANES, one[v]);
        }
        std::fill(to, room.row.data() + s.out_width() * V * LANES, 0.0f);
        if (!s.maximum || window == 1) return;
        const int64_t apart = s.stride * V * LANES, below = s.stride * s.columns() * V * LANES;
        for (int64_t x = 0; x < columns * window; ++x)
            for (int v = 0; v < V; ++v) {
                const auto at = [&](int64_t other, int64_t column) {
                    return margins + (other - y) * below + column * apart + v * LANES;
                };
                float *one = room.row.data() + (x * V + v) * LANES;
                store(one, chosen(at, window, y, x) ? load(one) : Vec{});
            }
    }

    // That of the first stage where the same enters at every step: the deltas of all are summed first.
    void weigh_constant(int64_t t, const float *delta, FilterGradient &sum) {
        const Stage &s = stages[0];
        Floats &all = rooms[0].constant;
        for (size_t i = 0; i < all.size(); ++i) all[i] = t == steps - 1 ? delta[i] : all[i] + delta[i];
        if (!t)
            value_gradient(s, rooms[0].at, map(0, 0, 0, 0), rooms[0].values.data(), rooms[0].spread, all.data(), sum.weight);
    }

    // The weight gradient of a stage at one step, from dL/dI.
    void weigh(size_t l, int64_t t, const float *delta, FilterGradient &sum) {
        Room &room = rooms[l];
        if (!room.constant.empty()) return weigh_constant(t, delta, sum);
        event_gradient(stages[l], room.at, map(l, t, 0, 0), room.planes, share(l, t), room.spread, delta, sum.weight);
    }
};

}  // namespace
}  // namespace fedspike
