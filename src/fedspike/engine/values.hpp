// Convolutions with ReLU and a pool behind each, on values of which many are 0: one sample at a time.
#pragma once
#include "filters.hpp"

namespace fedspike {
namespace {

// What one sample leaves on its way through the stages.
struct ValueStack {
    struct Room {
        std::vector<uint64_t> events;  // [channel][word]: the values that enter and are not 0
        Floats values;                 // [channel][position of a map]
        Floats spread;                 // what enters a depthwise stage; see depthwise.hpp
        Floats out;                    // behind the ReLU, in a grid; see maps.hpp
        Floats pooled;                 // [place][channel]: behind the pool; then dL/d of that
        Positions at;

        explicit Room(const Stage &s)
            : events(s.channels_in * s.words()), values(s.channels_in * s.apart()),
              spread(spread_size(s)), out(grid_of(s)), pooled(whole_vectors(s.channels) * s.places_after()),
              at(s) {}
    };
    const Stages &stages;
    std::vector<Room> rooms;
    std::vector<int64_t> entered, met, left;  // [stage]

    explicit ValueStack(const Stages &stages)
        : stages(stages), entered(stages.size()), met(stages.size()), left(stages.size()) {
        for (const Stage &s : stages) rooms.emplace_back(s);
    }

    // From an image to what is behind the last pool, [channel][place].
    void forward(const float *image, const std::vector<Filters> &filters, float *features) {
        for (size_t l = 0; l < stages.size(); ++l) {
            const Stage &s = stages[l];
            Room &room = rooms[l];
            if (l)
                enter_rows(l);
            else
                enter_image(image);
            see(l);
            value_currents(filters[l], room.at, room.events.data(), entered[l], room.values.data(), room.spread,
                           room.out.data());
            int64_t fired = 0;
            float *out = room.out.data();
            for_outputs(s, [&](auto V, int64_t first, int64_t p, int64_t, int64_t, int64_t) {
                for (int v = 0; v < V; ++v) {
                    float *at = out + first * s.positions() + (p * V + v) * LANES;
                    const Vec u = load(at);
                    store(at, u > 0.0f ? u : Vec{});
                    fired += __builtin_popcount(above(u, 0.0f));
                }
            });
            left[l] = fired;
            pool(s, room);
        }
        const Stage &s = stages.back();
        for_channels(s.channels, [&](auto V, int64_t first, int64_t real) {
            transpose(s.places_after(), real, &rooms.back().pooled[first * s.places_after()], V * LANES,
                      features + first * s.places_after(), s.places_after());
        });
    }

    void enter_image(const float *image) {
        const Stage &s = stages[0];
        for (int64_t channel = 0; channel < s.channels_in; ++channel, image += s.height * s.width)
            copy_rows(s.height, s.width, image, s.width, &rooms[0].values[channel * s.apart() + s.lead()],
                      s.columns());
    }

    // From what is behind the pool of the stage before.
    void enter_rows(size_t l) {
        const Stage &s = stages[l];
        const int64_t apart = s.apart();
        for_channels(s.channels_in, [&](auto V, int64_t first, int64_t real) {
            const float *from = &rooms[l - 1].pooled[first * s.height * s.width];
            for (int64_t y = 0; y < s.height; ++y)
                transpose(s.width, real, from + y * s.width * V * LANES, V * LANES,
                          &rooms[l].values[first * apart + s.lead() + y * s.columns()], apart);
        });
    }

    // The events among the values.
    void see(size_t l) {
        Room &room = rooms[l];
        const int64_t words = stages[l].words(), apart = stages[l].apart(), lead = stages[l].lead();
        int64_t all = 0, synapses = 0;
        for (int64_t word = 0; word < (int64_t)room.events.size(); ++word) {
            const float *values = &room.values[word / words * apart + lead + word % words * 64];
            const int32_t *fan_out = &room.at.fan_out[word % words * 64];
            all += __builtin_popcountll(room.events[word] = nonzero(values, 64));
            int32_t sum = 0;
            for (int64_t i = 0; i < 64; ++i) sum += values[i] != 0 ? fan_out[i] : 0;
            synapses += sum;
        }
        entered[l] = all;
        met[l] = synapses;
    }

    // Calls at(V, channel, p, window's place or -1, row in it, column in it) for the position p of each output.
    template <typename At>
    static void for_outputs(const Stage &s, const At &at) {
        const int64_t rows = s.rows_after(), columns = s.columns_after();
        for_channels(s.channels, [&](auto V, int64_t first, int64_t) {
            const int64_t height = s.out_height(), width = s.out_width();
            for (int64_t y = 0, row = 0, i = 0; y < height; ++y) {
                for (int64_t x = 0, column = 0, j = 0, p = s.row(y); x < width; ++x, p += s.stride) {
                    at(V, first, p, row < rows && column < columns ? row * columns + column : -1, i, j);
                    if (++j == s.window) j = 0, ++column;
                }
                if (++i == s.window) i = 0, ++row;
            }
        });
    }

    static void pool(const Stage &s, Room &room) {
        const int64_t positions = s.positions(), places = s.places_after(), last = s.window - 1;
        const float size = s.window * s.window, *out = room.out.data();
        const bool maximum = s.maximum;
        float *pooled = room.pooled.data();
        for_outputs(s, [&](auto V, int64_t first, int64_t p, int64_t place, int64_t row, int64_t column) {
            if (place < 0) return;
            for (int v = 0; v < V; ++v) {
                const Vec x = load(out + first * positions + (p * V + v) * LANES);
                float *to = pooled + first * places + (place * V + v) * LANES;
                const Vec before = load(to);
                Vec joined = row || column ? (maximum ? (x > before ? x : before) : before + x) : x;
                if (!maximum && row == last && column == last) joined /= size;
                store(to, joined);
            }
        });
    }

    // From dL/d of the features to the gradients of all stages; what forward left is used up.
    void back(const std::vector<Filters> &filters, const float *into, std::vector<FilterGradient> &sums) {
        for (size_t l = stages.size(); l-- > 0;) {
            const Stage &s = stages[l];
            Room &room = rooms[l];
            Floats largest;
            if (s.maximum && s.window > 1) largest = room.pooled;
            if (l + 1 == stages.size())
                turn(s, into, room.pooled.data());
            else
                through_filters(filters[l + 1], rooms[l + 1].out.data(), room.pooled.data());
            clear_others(s, room.out);
            sums[l].clear();
            unpool(s, room, largest, sums[l]);
            value_gradient(s, room.at, room.events.data(), room.values.data(), room.spread, room.out.data(), sums[l].weight);
        }
    }

    // Positions of the grid that are no outputs.
    static void clear_others(const Stage &s, Floats &grid) {
        const int64_t positions = s.positions();
        for_channels(s.channels, [&](auto V, int64_t first, int64_t) {
            float *panel = &grid[first * positions];
            int64_t from = 0;  // what lies between the outputs
            const auto clear = [&](int64_t to) { std::fill(panel + from * V * LANES, panel + to * V * LANES, 0.0f); };
            for (int64_t y = 0; y < s.out_height(); ++y)
                for (int64_t x = 0, p = s.row(y); x < s.out_width(); ++x, p += s.stride) {
                    if (p > from) clear(p);
                    from = p + 1;
                }
            clear(positions);
        });
    }

    // dL/d of the currents in place of what left the ReLU. That of a maximum goes to the first one; it is taken then.
    static void unpool(const Stage &s, Room &room, Floats &largest, FilterGradient &sum) {
        const int64_t positions = s.positions(), places = s.places_after();
        const float share = s.share(), *pooled = room.pooled.data();
        float *out = room.out.data(), *bias = sum.bias.data(), *first_of = largest.empty() ? nullptr : largest.data();
        for_outputs(s, [&](auto V, int64_t first, int64_t p, int64_t place, int64_t, int64_t) {
            for (int v = 0; v < V; ++v) {
                float *at = out + first * positions + (p * V + v) * LANES;
                const int64_t from = first * places + (place * V + v) * LANES;
                const Vec x = load(at);
                Vec slope = place < 0 ? Vec{} : share * load(pooled + from);
                if (place >= 0 && first_of) {
                    const Vec most = load(first_of + from);
                    slope = x == most ? slope : Vec{};
                    store(first_of + from, x == most ? Vec{} - 1.0f : most);
                }
                slope = x > 0.0f ? slope : Vec{};
                store(at, slope);
                float *to = bias + first + v * LANES;
                store(to, load(to) + slope);
            }
        });
    }
};

}  // namespace
}  // namespace fedspike
